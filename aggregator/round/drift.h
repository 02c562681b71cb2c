#pragma once  // aggregator/round/drift.h: whether the newest model fits the devices' data as it lately did
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

namespace muster::agg {

// The loss of the newest model on what its clients hold, against the median of the rounds before it: 0: as
// large, 1: twice as large. A round alone does not hide the next one's, as a mean would. Pure.
class Drift {
 public:
  static constexpr std::size_t kWindow = 10;  // rounds
  static constexpr std::size_t kFewest = 3;   // of them, before anything is told

  // Of one round, after another. What is no number, or negative, is none.
  void add(double loss) {
    if (!std::isfinite(loss) || loss < 0) return;
    value_.reset();
    if (before_.size() >= kFewest)
      if (const double usual = median(); usual > 0) value_ = loss / usual - 1;
    before_.push_back(loss);
    if (before_.size() > kWindow) before_.pop_front();
  }
  [[nodiscard]] std::optional<double> value() const { return value_; }  // of the newest; nothing: too early

 private:
  [[nodiscard]] double median() const {
    std::vector<double> sorted(before_.begin(), before_.end());
    std::ranges::sort(sorted);
    const std::size_t half = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }

  std::deque<double> before_;
  std::optional<double> value_;
};

}  // namespace muster::agg
