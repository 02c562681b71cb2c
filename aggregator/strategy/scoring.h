#pragma once  // aggregator/strategy/scoring.h: updates weigh by what they do to the loss on held-out data
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "aggregator/strategy/strategy.h"
#include "aggregator/strategy/update_shelf.h"

namespace muster::agg {

// Of two updates whose cosine is above this the later one is a copy, and counts nothing: who sends another's
// work again, or one training under several numbers, gains nothing by it.
inline constexpr double kCopyCosine = 0.99;
// By how much an update can have raised the loss, for the record: also where that is not finite any more.
inline constexpr double kHarmMax = 1e6;

// Which rows of `updates` [n, P] row-major, in order of arrival, are copies of an earlier one. A row of zeros
// is a copy of nothing. O(n^2 P) time, 8 n^2 bytes. Real: float in programs, double in tests of formulas.
template <typename Real>
[[nodiscard]] std::vector<bool> copies_among(std::span<const Real> updates, std::size_t n);

// gains [n]: L(w) - L(w + delta_k), NaN where that is no number. max(0, gain) of what is no copy, divided by
// their sum; all 0 where no update helps.
[[nodiscard]] std::vector<double> scored_weights(std::span<const double> gains,
                                                 const std::vector<bool>& copies);

// What each client did to the loss since the federation began: [clients] each, and so a part of the state.
struct Contributions {
  explicit Contributions(std::size_t clients)
      : updates(clients), gain(clients), weight(clients), harmful(clients), copies(clients) {}
  std::vector<float> updates;  // that were scored
  std::vector<float> gain;     // sum of L(w) - L(w + delta): what its updates alone would have done
  std::vector<float> weight;   // sum of its weights: in so many rounds' worth of steps it was followed
  std::vector<float> harmful;  // updates that raised the loss
  std::vector<float> copies;   // updates that were an earlier one's copies

  [[nodiscard]] std::vector<learning::SlotView> slots() const;
  // Errors: kFailedPrecondition: these slots are something else, or of another number of clients.
  [[nodiscard]] Status restore(std::span<const learning::SlotView> from);
};

// model += sum of weight_k delta_k, the weights by a test of each update alone on data of the aggregator's
// own (as Gauntlet scores its peers). Updates lie on the shelf, 4 P bytes each; in memory
// there is the next model alone, in which each w + delta_k has its turn. Which update is the later one is
// decided by the order of take(), that of the journal. Remembers Contributions.
class Scoring final : public Strategy {
 public:
  Scoring(std::size_t parameters, std::size_t clients, std::unique_ptr<UpdateShelf> shelf, HeldOutLoss loss)
      : parameters_(parameters), shelf_(std::move(shelf)), loss_(std::move(loss)), totals_(clients) {}
  [[nodiscard]] learning::LocalSettings settings() const override { return {}; }
  [[nodiscard]] Status take(const Contribution& from) override;
  [[nodiscard]] Result<std::vector<float>> finish(std::span<const float> model) override;
  void discard() override;
  [[nodiscard]] std::vector<learning::SlotView> state() const override;
  [[nodiscard]] Status restore(std::vector<learning::OptimizerState::Slot> state) override;

 private:
  void record(std::span<const double> gains, std::span<const double> weights,
              const std::vector<bool>& copies);

  std::size_t parameters_;
  std::unique_ptr<UpdateShelf> shelf_;
  HeldOutLoss loss_;
  std::vector<std::int32_t> clients_;  // of the updates on the shelf
  Contributions totals_;
  bool scored_ = false;  // there is something to remember
};

extern template std::vector<bool> copies_among(std::span<const float>, std::size_t);
extern template std::vector<bool> copies_among(std::span<const double>, std::size_t);

}  // namespace muster::agg
