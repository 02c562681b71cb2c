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
namespace {

constexpr std::size_t kRowsBetweenQuestions = 1024;  // whether training was cancelled

// The mean loss over `rows`. Errors: kAborted; kDataLoss: it is not finite.
Result<double> loss_of(Task& task, std::span<const float> parameters, const Examples& data,
                       std::span<const std::int64_t> rows, const std::function<bool()>& cancelled) {
  double sum = 0;
  for (std::size_t begin = 0; begin < rows.size(); begin += kRowsBetweenQuestions) {
    if (cancelled && cancelled()) return aborted("local training: cancelled");
    const auto part = rows.subspan(begin, std::min(kRowsBetweenQuestions, rows.size() - begin));
    sum += task.loss(parameters, data, part) * static_cast<double>(part.size());
  }
  if (std::isfinite(sum)) return sum / static_cast<double>(rows.size());
  return data_loss(
      fmt::format("local training: the loss of the global model is {}; lower the learning rate or "
                  "check the data",
                  loss_text(sum)));
}

}  // namespace

Result<LocalUpdate> train_locally(Task& task, const spec::ClientTraining& spec, std::span<const float> global,
                                  const Examples& data, std::span<const std::int64_t> rows, std::uint64_t key,
                                  const std::function<bool()>& cancelled, const LocalSettings& settings) {
  MUSTER_CHECK(std::ssize(global) == task.parameter_count());
  if (rows.empty())
    return invalid_argument("local training: the client has no examples; lower clients.count");
  if (spec.local_epochs < 1 || spec.batch_size < 0)
    return invalid_argument(
        fmt::format("local training: localEpochs is {} and batchSize is {}, must be at least 1 and 0",
                    spec.local_epochs, spec.batch_size));
  MUSTER_TRY(validate(settings));
  double loss_before = 0;
  if (settings.fairness_q) {
    MUSTER_ASSIGN(loss_before, loss_of(task, global, data, rows, cancelled));
  }
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
      if (settings.proximal_mu > 0)
        add_proximal_gradient<float>(gradient, parameters, global, settings.proximal_mu);
      optimizer->step(parameters, gradient);
    }
  }
  LocalUpdate update;
  update.examples = rows.size();
  for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] -= global[i];
  update.delta = std::move(parameters);
  if (settings.fairness_q)
    update.weight =
        make_fair<float>(update.delta, loss_before, *settings.fairness_q, spec.optimizer.learning_rate);
  return update;
}

}  // namespace muster::learning
