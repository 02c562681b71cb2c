// tests/aggregator/papers/q_ffl.cc: its rounds and the accuracies of its devices
#include "tests/aggregator/papers/q_ffl.h"

#include <algorithm>
#include <numeric>

namespace muster::papers {
namespace {

constexpr std::int64_t kDevices = 100;
constexpr std::int64_t kCohort = 10;
constexpr std::int64_t kLooks = 40;  // in the second half

std::vector<Turn> turns_of(const std::vector<std::uint64_t>& sizes, std::uint64_t seed, std::int64_t round) {
  std::vector<agg::ClientId> left(kDevices);
  std::iota(left.begin(), left.end(), 0);
  std::vector<Turn> turns;
  for (std::int64_t i = 0; i < kCohort; ++i) {
    const agg::ClientId client = agg::draw_by_size(left, sizes, 1, seed, round, i).front().client;
    std::erase(left, client);
    turns.push_back({.client = client, .epochs = 1});
  }
  return turns;
}

// Cuts the last ninth of each device's training rows off: the data's own tenth for tests is of unknown
// devices.
std::vector<Rows> test_rows(Federation& federation) {
  std::vector<Rows> tests;
  for (agg::ClientId client = 0; client < kDevices; ++client) {
    Rows& rows = federation.rows_of(client);
    const auto kept = static_cast<std::ptrdiff_t>(rows.size() * 8 / 9);
    tests.emplace_back(rows.begin() + kept, rows.end());
    rows.resize(static_cast<std::size_t>(kept));
  }
  return tests;
}

Fairness look(Federation& federation, const std::vector<Rows>& tests) {
  Fairness fairness;
  std::vector<double> accuracies;
  double examples = 0;
  for (const Rows& rows : tests) {
    const double accuracy =
        100 * federation.model().evaluate(federation.parameters(), federation.data().train, rows).accuracy;
    accuracies.push_back(accuracy);
    fairness.accuracy += accuracy * static_cast<double>(rows.size());
    examples += static_cast<double>(rows.size());
  }
  fairness.accuracy /= examples;
  const double mean = std::accumulate(accuracies.begin(), accuracies.end(), 0.0) / kDevices;
  for (const double accuracy : accuracies)
    fairness.variance += (accuracy - mean) * (accuracy - mean) / kDevices;
  std::sort(accuracies.begin(), accuracies.end());
  constexpr std::ptrdiff_t kTenth = kDevices / 10;
  fairness.worst_tenth = std::accumulate(accuracies.begin(), accuracies.begin() + kTenth, 0.0) / kTenth;
  fairness.best_tenth = std::accumulate(accuracies.end() - kTenth, accuracies.end(), 0.0) / kTenth;
  return fairness;
}

}  // namespace

QFflRun run_q_ffl(double q, std::uint64_t seed, std::int64_t rounds) {
  Federation federation({.alpha = 1, .beta = 1, .iid = false, .devices = kDevices, .sigma = 1}, seed);
  const std::vector<Rows> tests = test_rows(federation);
  spec::ClientTraining training;
  training.batch_size = 10;
  training.optimizer = {.name = "SGD", .learning_rate = 0.1};
  federation.begin({.name = "QFedAvg", .q = q}, training);
  const std::vector<std::uint64_t> sizes = federation.sizes();
  const std::int64_t apart = std::max<std::int64_t>(1, rounds / 2 / kLooks);
  QFflRun run;
  double looks = 0;
  for (std::int64_t round = 1; round <= rounds; ++round) {
    federation.round(turns_of(sizes, seed, round));
    if (round <= rounds / 2 || (rounds - round) % apart != 0) continue;
    run.last = look(federation, tests);
    run.mean.accuracy += run.last.accuracy;
    run.mean.worst_tenth += run.last.worst_tenth;
    run.mean.best_tenth += run.last.best_tenth;
    run.mean.variance += run.last.variance;
    ++looks;
  }
  for (double* value : {&run.mean.accuracy, &run.mean.worst_tenth, &run.mean.best_tenth, &run.mean.variance})
    *value /= looks;
  return run;
}

}  // namespace muster::papers
