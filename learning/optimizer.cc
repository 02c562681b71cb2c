// learning/optimizer.cc: one pass over flat vectors a step; the arithmetic of PyTorch's optimizers
#include "learning/optimizer.h"

#include <cmath>

#include "common/base/check.h"

namespace muster::learning {
namespace {

class Sgd : public Optimizer {
 public:
  Sgd(const spec::Optimizer& spec, std::size_t count)
      : rate_(static_cast<float>(spec.learning_rate)),
        momentum_(static_cast<float>(spec.momentum)),
        decay_(static_cast<float>(spec.weight_decay)),
        count_(count),
        velocity_(spec.momentum > 0 ? count : 0) {}

  void step(std::span<float> parameters, std::span<const float> gradient) override {
    MUSTER_CHECK(parameters.size() == count_ && gradient.size() == count_);
    float* __restrict p = parameters.data();
    const float* __restrict g = gradient.data();
    if (velocity_.empty()) {
      for (std::size_t i = 0; i < count_; ++i) p[i] -= rate_ * (g[i] + decay_ * p[i]);
    } else {
      float* __restrict v = velocity_.data();
      for (std::size_t i = 0; i < count_; ++i) {
        v[i] = momentum_ * v[i] + (g[i] + decay_ * p[i]);
        p[i] -= rate_ * v[i];
      }
    }
    ++steps_;
  }
  std::vector<Slot> slots() override {
    if (velocity_.empty()) return {};
    return {{"momentum", velocity_}};
  }
  std::int64_t steps() const override { return steps_; }
  void set_steps(std::int64_t steps) override { steps_ = steps; }

 private:
  float rate_;
  float momentum_;
  float decay_;
  std::size_t count_;
  std::vector<float> velocity_;  // zero before the first step, so v_1 = g_1, as in PyTorch
  std::int64_t steps_ = 0;
};

// Kingma & Ba 2015, algorithm 1, in the form of PyTorch: epsilon is added after the bias correction. AdamW:
// Loshchilov & Hutter 2019, algorithm 2, in the form of PyTorch: the decay, times the learning rate, is of
// the parameters.
class Adam : public Optimizer {
 public:
  Adam(const spec::Optimizer& spec, std::size_t count) : spec_(spec), mean_(count), square_(count) {}

  void step(std::span<float> parameters, std::span<const float> gradient) override {
    MUSTER_CHECK(parameters.size() == mean_.size() && gradient.size() == mean_.size());
    ++steps_;
    const double exponent = static_cast<double>(steps_);
    const auto rate = static_cast<float>(spec_.learning_rate / (1.0 - std::pow(spec_.beta1, exponent)));
    const auto root = static_cast<float>(std::sqrt(1.0 - std::pow(spec_.beta2, exponent)));
    const auto beta1 = static_cast<float>(spec_.beta1);
    const auto beta2 = static_cast<float>(spec_.beta2);
    const auto rest1 = static_cast<float>(1.0 - spec_.beta1);
    const auto rest2 = static_cast<float>(1.0 - spec_.beta2);
    const auto epsilon = static_cast<float>(spec_.epsilon);
    const bool decoupled = spec_.name == "AdamW";
    const auto decay = static_cast<float>(decoupled ? 0 : spec_.weight_decay);
    const auto kept = static_cast<float>(decoupled ? 1.0 - spec_.learning_rate * spec_.weight_decay : 1.0);
    float* __restrict p = parameters.data();
    const float* __restrict g = gradient.data();
    float* __restrict m = mean_.data();
    float* __restrict v = square_.data();
    for (std::size_t i = 0; i < mean_.size(); ++i) {
      const float d = g[i] + decay * p[i];
      m[i] = beta1 * m[i] + rest1 * d;
      v[i] = beta2 * v[i] + rest2 * d * d;
      p[i] = kept * p[i] - rate * m[i] / (std::sqrt(v[i]) / root + epsilon);
    }
  }
  std::vector<Slot> slots() override { return {{"m", mean_}, {"v", square_}}; }
  std::int64_t steps() const override { return steps_; }
  void set_steps(std::int64_t steps) override { steps_ = steps; }

 private:
  spec::Optimizer spec_;
  std::vector<float> mean_;
  std::vector<float> square_;
  std::int64_t steps_ = 0;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const spec::Optimizer& spec, std::int64_t parameter_count) {
  MUSTER_CHECK(parameter_count >= 0 && (spec.name == "SGD" || spec.name == "Adam" || spec.name == "AdamW"));
  const auto count = static_cast<std::size_t>(parameter_count);
  if (spec.name != "SGD") return std::make_unique<Adam>(spec, count);
  return std::make_unique<Sgd>(spec, count);
}

}  // namespace muster::learning
