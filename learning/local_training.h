#pragma once  // learning/local_training.h: what one client does with its own examples in one round
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/spec/federation.h"
#include "learning/task.h"

namespace muster::learning {

struct LocalUpdate {
  std::vector<float> delta;    // [P] local minus global parameters
  std::uint64_t examples = 0;  // rows trained on
};

// Trains `task` from `global` [P] for spec.local_epochs over `rows` of `data`, with a fresh optimizer and
// an order that is a function of `key` alone. `cancelled` is asked between batches.
// Errors: kInvalidArgument (no rows), kDataLoss (the loss is not finite: names the epoch and batch),
// kAborted.
[[nodiscard]] Result<LocalUpdate> train_locally(Task& task, const spec::ClientTraining& spec,
                                                std::span<const float> global, const Examples& data,
                                                std::span<const std::int64_t> rows, std::uint64_t key,
                                                const std::function<bool()>& cancelled);

}  // namespace muster::learning
