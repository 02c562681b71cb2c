#pragma once  // cli/plot.h: a learning curve as an SVG drawing: points -> text, nothing else. Pure
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json/fields.h"

namespace muster::cli {

struct CurvePoint {
  std::int64_t at = 0;  // step or round
  std::optional<double> loss;
  std::optional<double> accuracy;  // 0..1
};

struct Curve {
  std::string title;
  std::string subtitle;  // "" leaves the line out
  std::string x_label = "step";
  std::vector<CurvePoint> points;  // in ascending order of `at`
};

// A 900 x 520 drawing: loss on the left axis, accuracy on the right one. Values that are not finite are left
// out; more than 2,000 points are thinned evenly. Without a point it says so.
[[nodiscard]] std::string draw_curve(const Curve& curve);

// Round numbers around [low, high]: steps of 1, 2 or 5 times a power of ten, `intervals_max` at most. low <
// high.
struct Axis {
  double low = 0;
  double high = 1;
  double step = 1;
  int decimals = 0;  // that the labels need

  [[nodiscard]] std::vector<double> ticks() const;
};
[[nodiscard]] Axis make_axis(double low, double high, int intervals_max);

// history.csv: a header line with `at` (or step, round), `loss` and `accuracy`, an empty cell for no value.
// Errors name `file` and the line.
[[nodiscard]] Result<std::vector<CurvePoint>> curve_from_csv(std::string_view text, const std::string& file);
// status.history: an array of {at, loss, accuracy}; malformed entries are dropped.
[[nodiscard]] std::vector<CurvePoint> curve_from_history(const Json& history);
// The text that curve_from_csv reads; `unit`, step or round, heads the first column.
[[nodiscard]] std::string curve_to_csv(const std::vector<CurvePoint>& points, std::string_view unit);

}  // namespace muster::cli
