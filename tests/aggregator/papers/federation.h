#pragma once  // tests/aggregator/papers/federation.h: a federation in one process: the real strategies, draws
              // and local training on the papers' data, without a network
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "aggregator/round/cohort.h"
#include "aggregator/strategy/strategy.h"
#include "common/spec/federation.h"
#include "learning/dataset.h"
#include "tests/aggregator/papers/quick_softmax.h"

namespace muster::papers {

using Rows = std::vector<std::int64_t>;

struct Turn {  // what a client does in a round
  agg::ClientId client = 0;
  std::int64_t epochs = 1;
};

class Federation {
 public:
  // Softmax regression on Synthetic(alpha, beta), each device a client.
  Federation(const spec::Synthetic& data, std::uint64_t seed);

  // Begins at the seed's initial model. `training`: optimizer, batch size; epochs come with each turn.
  void begin(const spec::Strategy& strategy, const spec::ClientTraining& training);
  // The clients train from the present model, and the strategy makes the next one of their updates.
  void round(std::span<const Turn> turns);

  [[nodiscard]] const learning::Dataset& data() const { return data_; }
  [[nodiscard]] std::int64_t clients() const { return std::ssize(rows_); }
  [[nodiscard]] Rows& rows_of(agg::ClientId client) { return rows_[static_cast<std::size_t>(client)]; }
  [[nodiscard]] std::vector<std::uint64_t> sizes() const;
  [[nodiscard]] std::span<const float> parameters() const { return parameters_; }
  [[nodiscard]] QuickSoftmax& model() { return *model_; }
  [[nodiscard]] std::int64_t rounds() const { return rounds_; }
  [[nodiscard]] std::uint64_t seed() const { return seed_; }

 private:
  std::uint64_t seed_;
  learning::Dataset data_;
  std::vector<Rows> rows_;  // of the training examples
  std::unique_ptr<QuickSoftmax> model_;
  spec::ClientTraining training_;
  std::unique_ptr<agg::Strategy> strategy_;
  std::vector<float> parameters_;
  std::int64_t rounds_ = 0;
};

struct Moments {  // over seeds
  double mean = 0;
  double deviation = 0;  // of the sample (n - 1)
};
[[nodiscard]] Moments moments(std::span<const double> values);

// Are two means of `ours` and `theirs` values the same within three standard errors of their difference?
[[nodiscard]] bool within_three_errors(const Moments& ours, double our_count, const Moments& theirs,
                                       double their_count);

}  // namespace muster::papers
