// learning/synthetic.cc: the generator Synthetic(alpha, beta) with known heterogeneity between devices
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "common/base/random.h"
#include "learning/readers.h"

namespace muster::learning {
namespace {

constexpr std::size_t kFeatures = 60;
constexpr std::size_t kClasses = 10;
constexpr std::int64_t kMostExamples = 5'000'000;  // 1.2 GB of features

struct Labeller {  // y = argmax(W^T x + b)
  std::array<double, kFeatures * kClasses> weights{};
  std::array<double, kClasses> biases{};

  static Labeller draw(Random& random, double mean) {
    Labeller labeller;
    for (double& weight : labeller.weights) weight = mean + random.normal();
    for (double& bias : labeller.biases) bias = mean + random.normal();
    return labeller;
  }
  [[nodiscard]] std::int32_t label(const std::array<double, kFeatures>& x) const {
    std::array<double, kClasses> scores = biases;
    for (std::size_t j = 0; j < kFeatures; ++j)
      for (std::size_t c = 0; c < kClasses; ++c) scores[c] += weights[j * kClasses + c] * x[j];
    return static_cast<std::int32_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  }
};

void append(Examples& examples, const std::array<double, kFeatures>& x, std::int32_t label) {
  for (const double value : x) examples.features.push_back(static_cast<float>(value));
  examples.labels.push_back(label);
}

}  // namespace

Result<Dataset> make_synthetic(const spec::Synthetic& spec, std::uint64_t seed) {
  if (spec.devices < 1) return invalid_argument("dataset synthetic: devices must be at least 1");
  std::vector<std::int64_t> sizes;
  double total = 0;
  for (std::int64_t k = 0; k < spec.devices; ++k) {
    Random random(hash_key(seed, 0, k));
    const double size = std::floor(std::exp(4.0 + spec.sigma * random.normal())) + 50.0;
    total += size;
    if (total > static_cast<double>(kMostExamples))
      return invalid_argument(
          fmt::format("dataset synthetic: {} devices with sigma {} draw more than {} examples; lower "
                      "devices or sigma",
                      spec.devices, spec.sigma, kMostExamples));
    sizes.push_back(static_cast<std::int64_t>(size));
  }
  std::array<double, kFeatures> deviation{};  // Sigma = diag(j^-1.2), j from 1
  for (std::size_t j = 0; j < kFeatures; ++j) deviation[j] = std::pow(static_cast<double>(j + 1), -0.6);
  Dataset data;
  for (Examples* part : {&data.train, &data.test}) {
    part->feature_count = kFeatures;
    part->class_count = kClasses;
    part->shape = {kFeatures};
  }
  Random shared_random(hash_key(seed, 1));
  const Labeller shared = Labeller::draw(shared_random, 0.0);
  data.device_begin.push_back(0);
  for (std::int64_t k = 0; k < spec.devices; ++k) {
    Random random(hash_key(seed, 2, k));
    const double model_mean = spec.alpha * random.normal();   // u_k
    const double feature_mean = spec.beta * random.normal();  // B_k
    std::array<double, kFeatures> center{};                   // v_k
    if (!spec.iid)
      for (double& value : center) value = feature_mean + random.normal();
    const Labeller labeller = spec.iid ? shared : Labeller::draw(random, model_mean);
    const std::int64_t size = sizes[static_cast<std::size_t>(k)];
    const std::int64_t train = size * 9 / 10;
    for (std::int64_t i = 0; i < size; ++i) {  // draws are independent, so their order is a shuffle already
      std::array<double, kFeatures> x{};
      for (std::size_t j = 0; j < kFeatures; ++j) x[j] = center[j] + deviation[j] * random.normal();
      append(i < train ? data.train : data.test, x, labeller.label(x));
    }
    data.device_begin.push_back(data.train.size());
  }
  return data;
}

}  // namespace muster::learning
