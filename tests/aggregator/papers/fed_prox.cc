// tests/aggregator/papers/fed_prox.cc: its rounds and what is measured after each
#include "tests/aggregator/papers/fed_prox.h"

#include <algorithm>
#include <numeric>

#include "common/base/random.h"

namespace muster::papers {
namespace {

constexpr std::int64_t kDevices = 30;
constexpr std::int64_t kCohort = 10;
constexpr std::int64_t kEpochs = 20;

// Who of the cohort straggles, and how far each comes, are the round's, whatever the algorithm.
std::vector<Turn> turns_of(const FedProxSetting& setting, std::uint64_t seed, std::int64_t round) {
  std::vector<agg::ClientId> all(kDevices);
  std::iota(all.begin(), all.end(), 0);
  auto cohort = agg::draw_cohort(all, kCohort, seed, round, 0);
  Random random(hash_key(seed, 3, round));
  random.shuffle(std::span(cohort));
  std::vector<Turn> turns;
  for (std::int64_t i = 0; i < kCohort; ++i) {
    const bool late = i < setting.stragglers;
    const auto epochs = late ? 1 + static_cast<std::int64_t>(random.below(kEpochs - 1)) : kEpochs;
    if (!late || !setting.drop_stragglers)
      turns.push_back({.client = cohort[static_cast<std::size_t>(i)].client, .epochs = epochs});
  }
  return turns;
}

double gradient_variance(Federation& federation) {
  const std::size_t parameters = federation.parameters().size();
  std::vector<std::vector<float>> gradients;
  std::vector<double> mean(parameters);
  double examples = 0;
  for (agg::ClientId client = 0; client < kDevices; ++client) {
    const Rows& rows = federation.rows_of(client);
    std::vector<float>& gradient = gradients.emplace_back(parameters);
    static_cast<void>(
        federation.model().gradient(federation.parameters(), federation.data().train, rows, gradient));
    const auto weight = static_cast<double>(rows.size());
    for (std::size_t i = 0; i < parameters; ++i) mean[i] += weight * static_cast<double>(gradient[i]);
    examples += weight;
  }
  double squares = 0;
  for (const auto& gradient : gradients) {
    for (std::size_t i = 0; i < parameters; ++i) {
      const double off = static_cast<double>(gradient[i]) - mean[i] / examples;
      squares += off * off;
    }
  }
  return squares / static_cast<double>(kDevices);
}

double mean_of_last(const std::vector<double>& values, std::size_t last) {
  return std::accumulate(values.end() - static_cast<std::ptrdiff_t>(last), values.end(), 0.0) /
         static_cast<double>(last);
}

}  // namespace

double FedProxRun::final_loss(std::size_t last) const { return mean_of_last(losses, last); }
double FedProxRun::final_accuracy(std::size_t last) const { return mean_of_last(accuracies, last); }

double FedProxRun::rises() const {
  double sum = 0;
  for (std::size_t i = 1; i < losses.size(); ++i) sum += std::max(0.0, losses[i] - losses[i - 1]);
  return sum;
}

FedProxRun run_fed_prox(const FedProxSetting& setting, std::uint64_t seed, std::int64_t rounds) {
  Federation federation({.alpha = setting.heterogeneity,
                         .beta = setting.heterogeneity,
                         .iid = setting.iid,
                         .devices = kDevices,
                         .sigma = 2},
                        seed);
  spec::ClientTraining training;
  training.batch_size = 10;
  training.optimizer = {.name = "SGD", .learning_rate = 0.01};
  if (setting.mu > 0) {
    federation.begin({.name = "FedProx", .mu = setting.mu}, training);
  } else {
    federation.begin({.name = "FedAvg"}, training);
  }
  FedProxRun run;
  for (std::int64_t round = 1; round <= rounds; ++round) {
    federation.round(turns_of(setting, seed, round));
    run.losses.push_back(federation.model().evaluate(federation.parameters(), federation.data().train).loss);
    run.accuracies.push_back(
        federation.model().evaluate(federation.parameters(), federation.data().test).accuracy);
  }
  run.gradient_variance = gradient_variance(federation);
  return run;
}

}  // namespace muster::papers
