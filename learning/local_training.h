#pragma once  // learning/local_training.h: what one client does with its own examples in one round
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/spec/federation.h"
#include "learning/local_objective.h"
#include "learning/task.h"

namespace muster::learning {

struct LocalUpdate {
  std::vector<float> delta;    // [P] local minus global parameters, made fair where that is asked
  std::uint64_t examples = 0;  // rows trained on
  double weight = 0;           // of the update, where it is not to be weighed by examples (make_fair)
};

// Trains `task` from `global` [P] for spec.local_epochs over `rows` of `data`, with a fresh optimizer and
// an order that is a function of `key` alone. `cancelled` is asked between batches. With a fairness_q the
// loss of `global` over all rows is computed first, which costs as much as a third of an epoch. Errors:
// kInvalidArgument (no rows, settings), kDataLoss (the loss is not finite: names the epoch and batch),
// kAborted.
[[nodiscard]] Result<LocalUpdate> train_locally(Task& task, const spec::ClientTraining& spec,
                                                std::span<const float> global, const Examples& data,
                                                std::span<const std::int64_t> rows, std::uint64_t key,
                                                const std::function<bool()>& cancelled,
                                                const LocalSettings& settings = {});

}  // namespace muster::learning
