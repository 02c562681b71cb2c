// tests/aggregator/papers/federation.cc: rounds by direct calls
#include "tests/aggregator/papers/federation.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "common/base/check.h"
#include "common/base/random.h"
#include "learning/local_training.h"
#include "learning/partition.h"

namespace muster::papers {
namespace {

// What fails here is the test's own fault.
template <typename T>
T must(Result<T> result) {
  MUSTER_CHECK(result.has_value());
  return std::move(*result);
}

}  // namespace

Federation::Federation(const spec::Synthetic& data, std::uint64_t seed) : seed_(seed) {
  data_ = must(learning::load_dataset({.name = "synthetic", .path = {}, .csv = {}, .synthetic = data}, seed));
  rows_ = must(learning::partition_examples(data_, {.kind = "Natural"}, data.devices, seed));
  model_ = std::make_unique<QuickSoftmax>(must(learning::make_model({.name = "softmax"}, data_.train)),
                                          data_.train.feature_count, data_.train.class_count);
}

void Federation::begin(const spec::Strategy& strategy, const spec::ClientTraining& training) {
  training_ = training;
  parameters_ = model_->initial_parameters(seed_);
  strategy_ = must(agg::make_strategy(strategy, parameters_.size()));
  rounds_ = 0;
}

void Federation::round(std::span<const Turn> turns) {
  ++rounds_;
  spec::ClientTraining training = training_;
  const auto settings = strategy_->settings();
  for (const Turn& turn : turns) {
    training.local_epochs = turn.epochs;
    const auto update =
        must(learning::train_locally(*model_, training, parameters_, data_.train, rows_of(turn.client),
                                     hash_key(seed_, rounds_, turn.client), {}, settings));
    MUSTER_CHECK(strategy_
                     ->take({.client = turn.client,
                             .delta = update.delta,
                             .examples = update.examples,
                             .weight = update.weight,
                             .steps = update.steps})
                     .has_value());
  }
  parameters_ = must(strategy_->finish(parameters_));
}

std::vector<std::uint64_t> Federation::sizes() const {
  std::vector<std::uint64_t> sizes;
  for (const Rows& rows : rows_) sizes.push_back(rows.size());
  return sizes;
}

Moments moments(std::span<const double> values) {
  const auto count = static_cast<double>(values.size());
  Moments of{.mean = std::accumulate(values.begin(), values.end(), 0.0) / count};
  for (const double value : values) of.deviation += (value - of.mean) * (value - of.mean);
  of.deviation = values.size() < 2 ? 0 : std::sqrt(of.deviation / (count - 1));
  return of;
}

bool within_three_errors(const Moments& ours, double our_count, const Moments& theirs, double their_count) {
  const double error = std::sqrt(ours.deviation * ours.deviation / our_count +
                                 theirs.deviation * theirs.deviation / their_count);
  return std::abs(ours.mean - theirs.mean) <= 3 * error;
}

}  // namespace muster::papers
