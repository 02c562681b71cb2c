#pragma once  // worker/engine/history.h: a learning curve of bounded length. Pure
#include <cstdint>
#include <vector>

#include "learning/checkpoint.h"

namespace muster::worker {

// Keeps the first and the last point, and of the others every stride-th step and all evaluations; the stride
// doubles when there are too many. A resumed curve goes on as it would have, until the evaluations alone are
// too many and are thinned as well: which have gone then, the points that are left do not tell.
class History {
 public:
  static constexpr std::size_t kPointsMax = 200;

  History() = default;
  explicit History(std::vector<learning::HistoryPoint> points);  // of a checkpoint

  // at: greater than the last one's, or the same, which replaces it.
  void add(const learning::HistoryPoint& point);
  [[nodiscard]] const std::vector<learning::HistoryPoint>& points() const {
    return points_;
  }  // the newest is last

 private:
  [[nodiscard]] bool keeps(const learning::HistoryPoint& point) const;
  void thin();

  std::vector<learning::HistoryPoint> points_;
  std::int64_t stride_ = 1;
  bool evaluations_ = true;  // all evaluations still fit
};

}  // namespace muster::worker
