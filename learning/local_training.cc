// learning/local_training.cc: epochs of mini-batches from the global parameters
#include "learning/local_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "common/base/random.h"
#include "learning/control_variate.h"
#include "learning/doubts.h"
#include "learning/optimizer.h"

namespace muster::learning {
namespace {

constexpr std::size_t kRowsBetweenQuestions = 1024;  // whether training was cancelled

// The mean loss over `rows`. Errors: kAborted; kDataLoss: it is not finite.
Result<double> loss_of(Model& model, std::span<const float> parameters, const Examples& data,
                       std::span<const std::int64_t> rows, const std::function<bool()>& cancelled) {
  double sum = 0;
  for (std::size_t begin = 0; begin < rows.size(); begin += kRowsBetweenQuestions) {
    if (cancelled && cancelled()) return aborted("local training: cancelled");
    const auto part = rows.subspan(begin, std::min(kRowsBetweenQuestions, rows.size() - begin));
    sum += model.loss(parameters, data, part) * static_cast<double>(part.size());
  }
  if (std::isfinite(sum)) return sum / static_cast<double>(rows.size());
  return data_loss(
      fmt::format("local training: the loss of the global model is {}; lower the learning rate or "
                  "check the data",
                  loss_text(sum)));
}

// The rows of an epoch in their order, cut into batches.
class Batches {
 public:
  // `size` 0: one batch of all.
  Batches(std::span<const std::int64_t> rows, std::size_t size, std::uint64_t key)
      : rows_(rows), size_(size == 0 ? rows.size() : std::min(size, rows.size())), key_(key) {}
  void shuffle(std::int64_t epoch) {
    order_.assign(rows_.begin(), rows_.end());
    if (size_ < rows_.size()) Random(hash_key(key_, epoch)).shuffle(std::span(order_));
  }
  [[nodiscard]] std::size_t count() const { return (rows_.size() + size_ - 1) / size_; }
  // Past the last one it goes on with the first.
  [[nodiscard]] std::span<const std::int64_t> at(std::size_t batch) const {
    const std::size_t begin = batch % count() * size_;
    return std::span<const std::int64_t>(order_).subspan(begin, std::min(size_, order_.size() - begin));
  }

 private:
  std::span<const std::int64_t> rows_;
  std::size_t size_;
  std::uint64_t key_;
  std::vector<std::int64_t> order_;
};

// What the step with `batch` descends by; returns the loss. D' and D'' of Per-FedAvg are the two batches
// after it.
double gradient_of(Model& model, const Examples& data, const Batches& batches, std::size_t batch,
                   const LocalSettings& settings, std::span<const float> parameters,
                   std::span<float> gradient) {
  if (!settings.meta) return model.gradient(parameters, data, batches.at(batch), gradient);
  return meta_gradient<float>(
      *settings.meta,
      [&](MetaBatch which, std::span<const float> point, std::span<float> out) {
        return model.gradient(point, data, batches.at(batch + static_cast<std::size_t>(which)), out);
      },
      parameters, gradient);
}

// Per-FedAvg takes two batches for a step, three with the second derivative: a client of few examples has
// smaller ones, as long as it can, rather than the same one twice.
std::size_t batch_size_of(const spec::ClientTraining& spec, const LocalSettings& settings, std::size_t rows) {
  const auto asked = static_cast<std::size_t>(spec.batch_size);
  if (!settings.meta || asked == 0) return asked;
  const std::size_t kinds = settings.meta->hessian_free ? 3 : 2;
  return std::min(asked, std::max<std::size_t>(1, rows / kinds));
}

// What weight decay adds to a loss.
double penalty_of(const spec::Optimizer& optimizer, std::span<const float> parameters) {
  if (optimizer.weight_decay == 0) return 0;
  double squares = 0;
  for (const float value : parameters) squares += static_cast<double>(value) * static_cast<double>(value);
  return optimizer.weight_decay / 2 * squares;
}

}  // namespace

Result<LocalUpdate> train_locally(Model& model, const spec::ClientTraining& spec,
                                  std::span<const float> global, const Examples& data,
                                  std::span<const std::int64_t> rows, std::uint64_t key,
                                  const std::function<bool()>& cancelled, const LocalSettings& settings,
                                  const LocalStart& start) {
  MUSTER_CHECK(std::ssize(global) == model.parameter_count());
  MUSTER_CHECK(!settings.control_variates || start.control.size() == global.size());
  if (rows.empty())
    return invalid_argument("local training: the client has no examples; lower clients.count");
  if (spec.local_epochs < 1 || spec.batch_size < 0)
    return invalid_argument(
        fmt::format("local training: localEpochs is {} and batchSize is {}, must be at least 1 and 0",
                    spec.local_epochs, spec.batch_size));
  MUSTER_TRY(validate(settings));
  double loss_before = 0;
  LocalUpdate update;
  if (settings.fairness_q || start.measure_loss) {
    MUSTER_ASSIGN(loss_before, loss_of(model, global, data, rows, cancelled));
    if (start.measure_loss) update.loss = loss_before;
    loss_before += penalty_of(spec.optimizer, global);  // of what its training descends
  }
  const auto optimizer = make_optimizer(spec.optimizer, model.parameter_count());
  std::vector<float> parameters(global.begin(), global.end());
  std::vector<float> gradient(parameters.size());
  Batches batches(rows, batch_size_of(spec, settings, rows.size()), key);
  for (std::int64_t epoch = 0; epoch < spec.local_epochs && !update.partial; ++epoch) {
    batches.shuffle(epoch);
    for (std::size_t batch = 0; batch < batches.count(); ++batch) {
      update.partial = update.steps > 0 && start.enough && start.enough();
      if (update.partial) break;
      if (cancelled && cancelled()) return aborted("local training: cancelled");
      const double loss = gradient_of(model, data, batches, batch, settings, parameters, gradient);
      if (!std::isfinite(loss))
        return data_loss(
            fmt::format("local training: the loss is {} in epoch {}, batch {}; lower the learning rate or "
                        "check the data",
                        loss_text(loss), epoch + 1, batch + 1));
      if (settings.proximal_mu > 0)
        add_proximal_gradient<float>(gradient, parameters, global, settings.proximal_mu);
      if (settings.control_variates) correct_gradient<float>(gradient, start.control, start.own_control);
      optimizer->step(parameters, gradient);
      ++update.steps;
    }
  }
  update.examples = rows.size();
  for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] -= global[i];
  update.delta = std::move(parameters);
  if (settings.fairness_q)
    update.weight =
        make_fair<float>(update.delta, loss_before, *settings.fairness_q, spec.optimizer.learning_rate);
  if (settings.control_variates) {
    update.control_change = std::move(gradient);
    control_change<float>(update.delta, start.control, update.steps, spec.optimizer.learning_rate,
                          update.control_change);
  }
  return update;
}

}  // namespace muster::learning
