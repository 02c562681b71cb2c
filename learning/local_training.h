#pragma once  // learning/local_training.h: what one client does with its own examples in one round
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/spec/federation.h"
#include "learning/held_out.h"
#include "learning/local_objective.h"
#include "learning/model.h"

namespace muster::learning {

struct LocalUpdate {
  std::vector<float> delta;    // [P] local minus global parameters, made fair where that is asked
  std::uint64_t examples = 0;  // rows of the client
  double weight = 0;           // of the update, where it is not to be weighed by examples (make_fair)
  std::vector<float> control_change = {};  // [P] of the client's control variate; empty without
  std::int64_t steps = 0;                  // that were made
  bool partial = false;                    // it stopped before its last step
  // That a program of the user's own has measured, and its accuracy, 0..1; of a built-in model that of the
  // global one on all of the client's examples, where it was asked for.
  std::optional<double> loss = {};
  std::optional<double> accuracy = {};
  std::optional<HeldOutAccuracies> held_out = {};
};

// Where training stands beside the parameters.
struct LocalStart {
  std::span<const float> control = {};      // [P] SCAFFOLD's c
  std::span<const float> own_control = {};  // [P] SCAFFOLD's c_i; empty: 0
  // Asked between batches once a step was made: true ends the training there, with what it has come to.
  std::function<bool()> enough = {};
  bool measure_loss = false;  // of `global` on all rows, before the first step
};

// Trains `model` from `global` [P] for spec.local_epochs over `rows` of `data`, with a fresh optimizer and
// an order that is a function of `key` alone. `cancelled` is asked between batches. With a fairness_q the
// loss of `global` over all rows is computed first, which costs as much as a third of an epoch. Errors:
// kInvalidArgument (no rows, settings), kDataLoss (the loss is not finite: names the epoch and batch),
// kAborted. With control_variates the optimizer must be plain SGD.
[[nodiscard]] Result<LocalUpdate> train_locally(Model& model, const spec::ClientTraining& spec,
                                                std::span<const float> global, const Examples& data,
                                                std::span<const std::int64_t> rows, std::uint64_t key,
                                                const std::function<bool()>& cancelled,
                                                const LocalSettings& settings = {},
                                                const LocalStart& start = {});

}  // namespace muster::learning
