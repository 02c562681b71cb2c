// worker/engine/history.cc: thinning by doubling strides
#include "worker/engine/history.h"

#include <utility>

#include "common/base/check.h"

namespace muster::worker {

History::History(std::vector<learning::HistoryPoint> points) : points_(std::move(points)) {
  if (points_.empty()) return;
  // The stride of the run that kept these points is the smallest with which they fit.
  const std::int64_t last = points_.back().at;
  const auto kept = [&](std::int64_t stride) {
    std::int64_t count = last / stride;
    for (const learning::HistoryPoint& point : points_) {
      const bool besides = point.accuracy.has_value() || point.at == points_.front().at || point.at == last;
      if (besides && point.at % stride != 0) ++count;
    }
    return count;
  };
  while (kept(stride_) > static_cast<std::int64_t>(kPointsMax) && stride_ <= last) stride_ *= 2;
  thin();
}

bool History::keeps(const learning::HistoryPoint& point) const {
  return point.at == points_.front().at || point.at % stride_ == 0 ||
         (evaluations_ && point.accuracy.has_value());
}

void History::add(const learning::HistoryPoint& point) {
  MUSTER_CHECK(points_.empty() || point.at >= points_.back().at);
  if (!points_.empty() && (points_.back().at == point.at || !keeps(points_.back()))) points_.pop_back();
  points_.push_back(point);
  thin();
}

void History::thin() {
  while (points_.size() > kPointsMax) {
    stride_ *= 2;
    const learning::HistoryPoint last = points_.back();
    const auto drop = [&](const learning::HistoryPoint& point) {
      return point.at != last.at && !keeps(point);
    };
    const std::size_t before = points_.size();
    std::erase_if(points_, drop);
    if (points_.size() > kPointsMax && points_.size() == before && stride_ > last.at) {
      evaluations_ = false;  // the evaluations alone are too many: thin them as well
      stride_ = 1;
    }
  }
}

}  // namespace muster::worker
