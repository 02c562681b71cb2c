#pragma once  // tests/worker/run_alone.h: one rank's training with the hooks of a test
#include <optional>
#include <utility>

#include "tests/worker/mesh_support.h"
#include "tests/worker/quadratic_model.h"
#include "tests/worker/small_job.h"
#include "worker/engine/train_loop.h"
#include "worker/parallel/data_parallel.h"
#include "worker/parallel/gradient_sum.h"

namespace muster::worker::test {

inline Result<TrainLoop::Outcome> run_alone(const spec::Training& spec, const learning::Dataset& data,
                                            QuadraticModel& model, const TrainLoop::Hooks& hooks,
                                            const CheckpointWriter::Write& write = {},
                                            std::optional<learning::TrainingState> resume = std::nullopt) {
  CheckpointWriter writer(write);
  auto group = collectives({});
  const auto optimizer = learning::make_optimizer(spec.optimizer, kParameters);
  const auto gradient_sum = dense_sum(*group[0], {});
  DataParallel parallel({*group[0], *gradient_sum, *optimizer}, std::chrono::seconds(60));
  TrainLoop loop({.collective = *group[0],
                  .model = model,
                  .synchronizer = parallel,
                  .training = spec,
                  .data = data,
                  .writer = write ? &writer : nullptr},
                 {.checkpoint_patience = std::chrono::milliseconds(0)}, hooks);
  return loop.run({.state = std::move(resume)});
}

}  // namespace muster::worker::test
