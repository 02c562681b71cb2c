// learning/local_training.cc: epochs of mini-batches from the global parameters
#include "learning/local_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "common/base/random.h"
#include "learning/doubts.h"
#include "learning/optimizer.h"

namespace muster::learning {

Result<LocalUpdate> train_locally(Task& task, const spec::ClientTraining& spec, std::span<const float> global,
                                  const Examples& data, std::span<const std::int64_t> rows, std::uint64_t key,
                                  const std::function<bool()>& cancelled) {
  MUSTER_CHECK(std::ssize(global) == task.parameter_count());
  if (rows.empty())
    return invalid_argument("local training: the client has no examples; lower clients.count");
  if (spec.local_epochs < 1 || spec.batch_size < 0)
    return invalid_argument(
        fmt::format("local training: localEpochs is {} and batchSize is {}, must be at least 1 and 0",
                    spec.local_epochs, spec.batch_size));
  const std::size_t batch_size =
      spec.batch_size == 0 ? rows.size() : std::min(static_cast<std::size_t>(spec.batch_size), rows.size());
  const auto optimizer = make_optimizer(spec.optimizer, task.parameter_count());
  std::vector<float> parameters(global.begin(), global.end());
  std::vector<float> gradient(parameters.size());
  std::vector<std::int64_t> order;
  for (std::int64_t epoch = 0; epoch < spec.local_epochs; ++epoch) {
    order.assign(rows.begin(), rows.end());
    if (batch_size < rows.size()) Random(hash_key(key, epoch)).shuffle(std::span(order));
    for (std::size_t begin = 0; begin < order.size(); begin += batch_size) {
      if (cancelled && cancelled()) return aborted("local training: cancelled");
      const auto batch =
          std::span<const std::int64_t>(order).subspan(begin, std::min(batch_size, order.size() - begin));
      const double loss = task.gradient(parameters, data, batch, gradient);
      if (!std::isfinite(loss))
        return data_loss(
            fmt::format("local training: the loss is {} in epoch {}, batch {}; lower the learning rate or "
                        "check the data",
                        loss_text(loss), epoch + 1, begin / batch_size + 1));
      optimizer->step(parameters, gradient);
    }
  }
  LocalUpdate update;
  update.examples = rows.size();
  for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] -= global[i];
  update.delta = std::move(parameters);
  return update;
}

}  // namespace muster::learning
