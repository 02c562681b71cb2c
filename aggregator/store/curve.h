#pragma once  // aggregator/store/curve.h: the history of a federation that may go on for ever. Pure
#include <cstddef>
#include <vector>

#include "learning/checkpoint.h"

namespace muster::agg {

inline constexpr std::size_t kCurvePointsMax = 4096;  // it is written with each checkpoint

// Adds the newest point. Of more than kCurvePointsMax every second one goes, but for the first and the
// newest: the longer ago, the further apart they lie. What is left depends on the points alone, so that a
// curve of a checkpoint goes on as it would have.
inline void add_point(std::vector<learning::HistoryPoint>& curve, const learning::HistoryPoint& point) {
  curve.push_back(point);
  while (curve.size() > kCurvePointsMax) {
    std::size_t kept = 1;
    for (std::size_t i = 2; i + 1 < curve.size(); i += 2) curve[kept++] = curve[i];
    curve[kept++] = curve.back();
    curve.resize(kept);
  }
}

}  // namespace muster::agg
