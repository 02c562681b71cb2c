// cli/plot.cc: a learning curve as an SVG drawing: points -> text, nothing else
#include "cli/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/format.h"
#include "common/base/text.h"

namespace muster::cli {
namespace {

constexpr double kWidth = 900, kHeight = 520;
constexpr double kLeft = 84, kRight = 816, kTop = 92, kBottom = 446;  // of the plotting area
constexpr std::size_t kPointsMax = 2000;                              // finer than the drawing's pixels
constexpr std::size_t kDotsMax = 60;  // with more points the dots would hide the line

constexpr const char* kLossColour = "#3b5bdb";
constexpr const char* kAccuracyColour = "#e8590c";

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

struct Value {
  double at;
  double value;
};

struct Series {
  std::string name;
  const char* colour;
  bool percent;
  std::vector<Value> values;
  Axis axis;
};

using Member = std::optional<double> CurvePoint::*;

std::vector<Value> collect(const std::vector<CurvePoint>& points, Member member) {
  std::vector<Value> all;
  for (const CurvePoint& point : points) {
    const std::optional<double>& value = point.*member;
    if (value && std::isfinite(*value)) all.push_back({static_cast<double>(point.at), *value});
  }
  if (all.size() <= kPointsMax) return all;
  std::vector<Value> thinned;
  for (std::size_t i = 0; i < kPointsMax; ++i)
    thinned.push_back(all[i * (all.size() - 1) / (kPointsMax - 1)]);
  return thinned;
}

Axis axis_of(const std::vector<Value>& values, int intervals_max) {
  double low = values.front().value, high = low;
  for (const Value& value : values) {
    low = std::min(low, value.value);
    high = std::max(high, value.value);
  }
  return make_axis(low, high, intervals_max);
}

double scale(double value, const Axis& axis, double from, double to) {
  return from + (value - axis.low) / (axis.high - axis.low) * (to - from);
}

std::string text(double x, double y, std::string_view style, std::string_view content) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, style, escape(content));
}

std::string line(double x1, double y1, double x2, double y2, std::string_view style) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2,
                     style);
}

std::string tick_label(double value, const Axis& axis, bool percent) {
  if (percent) {
    const int decimals = std::max(0, axis.decimals - 2);
    return fmt::format("{:.{}f}%", value * 100, decimals);
  }
  const double magnitude = std::max(std::abs(axis.low), std::abs(axis.high));
  if (magnitude >= 1e6 || axis.decimals > 6) return fmt::format("{:.2g}", value == 0 ? 0.0 : value);
  return fmt::format("{:.{}f}", std::abs(value) < axis.step / 1e6 ? 0.0 : value, axis.decimals);
}

std::string draw_y_axis(const Series& series, bool left, bool grid) {
  std::string out;
  const std::string style =
      fmt::format("class=\"tick\" fill=\"{}\" text-anchor=\"{}\"", series.colour, left ? "end" : "start");
  for (const double tick : series.axis.ticks()) {
    const double y = scale(tick, series.axis, kBottom, kTop);
    if (grid) out += line(kLeft, y, kRight, y, "stroke=\"#e9ecef\"");
    out +=
        text(left ? kLeft - 10 : kRight + 10, y + 4.5, style, tick_label(tick, series.axis, series.percent));
  }
  const double x = left ? 24 : kWidth - 20;
  const double y = (kTop + kBottom) / 2;
  out += fmt::format(
      "<text class=\"axis\" fill=\"{0}\" text-anchor=\"middle\" transform=\"translate({1:.1f} {2:.1f}) "
      "rotate({3})\">{4}</text>\n",
      series.colour, x, y, left ? -90 : 90, escape(series.name));
  return out;
}

std::string draw_series(const Series& series, const Axis& x_axis) {
  std::string path;
  std::string dots;
  for (const Value& value : series.values) {
    const double x = scale(value.at, x_axis, kLeft, kRight);
    const double y = scale(value.value, series.axis, kBottom, kTop);
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : " L", x, y);
    if (series.values.size() <= kDotsMax) {
      dots +=
          fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\" fill=\"{}\"/>\n", x, y, series.colour);
    }
  }
  const Value& last = series.values.back();
  dots += fmt::format(
      "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\" fill=\"{}\" stroke=\"#fff\" stroke-width=\"1.5\"/>\n",
      scale(last.at, x_axis, kLeft, kRight), scale(last.value, series.axis, kBottom, kTop), series.colour);
  return fmt::format(
             "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-linejoin=\"round\" "
             "stroke-linecap=\"round\"/>\n",
             path, series.colour) +
         dots;
}

std::string draw_x_axis(const Axis& axis, const std::string& label) {
  std::string out = line(kLeft, kBottom, kRight, kBottom, "stroke=\"#868e96\"");
  for (const double tick : axis.ticks()) {
    const double x = scale(tick, axis, kLeft, kRight);
    out += line(x, kBottom, x, kBottom + 5, "stroke=\"#868e96\"");
    out += text(x, kBottom + 21, "class=\"tick\" fill=\"#495057\" text-anchor=\"middle\"",
                format_count(std::llround(tick)));
  }
  return out + text((kLeft + kRight) / 2, kBottom + 46,
                    "class=\"axis\" fill=\"#495057\" text-anchor=\"middle\"", label);
}

// One entry a series, right-aligned above the plotting area, with the last value.
std::string draw_legend(const std::vector<Series>& series) {
  std::string out;
  double x = kRight;
  for (auto it = series.rbegin(); it != series.rend(); ++it) {
    const double last = it->values.back().value;
    const std::string label =
        fmt::format("{} {}", it->name, it->percent ? format_percent(last) : format_loss(last));
    out += text(x, kTop - 18, "class=\"legend\" fill=\"#343a40\" text-anchor=\"end\"", label);
    const double width =
        7.4 * static_cast<double>(label.size());  // of the text, near enough for a 13 px font
    out += line(x - width - 28, kTop - 22.5, x - width - 8, kTop - 22.5,
                fmt::format("stroke=\"{}\" stroke-width=\"3\" stroke-linecap=\"round\"", it->colour));
    x -= width + 50;
  }
  return out;
}

Axis x_axis_of(const std::vector<Series>& series) {
  double low = series.front().values.front().at, high = low;
  for (const Series& one : series) {
    for (const Value& value : one.values) {
      low = std::min(low, value.at);
      high = std::max(high, value.at);
    }
  }
  if (high <= low) return {low - 1, high + 1, 1, 0};
  Axis axis = make_axis(std::min(0.0, low), high, 9);
  axis.step = std::max(1.0, axis.step);
  axis.high = high;  // the line ends at the frame, ticks where they fall
  return axis;
}

}  // namespace

Axis make_axis(double low, double high, int intervals_max) {
  if (!(high > low)) {
    const double margin = low == 0 ? 1.0 : std::abs(low) * 0.1;
    low -= margin;
    high += margin;
  }
  const double raw = (high - low) / intervals_max;
  double magnitude = std::pow(10.0, std::floor(std::log10(raw)));
  double step = magnitude * 10;
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    step = magnitude * factor;
    const double count = std::ceil(high / step - 1e-9) - std::floor(low / step + 1e-9);
    if (count <= intervals_max) break;
    if (factor == 10.0) step *= 2;  // rounding outwards took one interval more
  }
  Axis axis;
  axis.step = step;
  axis.low = std::floor(low / step + 1e-9) * step;
  axis.high = std::ceil(high / step - 1e-9) * step;
  axis.decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 12);
  return axis;
}

std::vector<double> Axis::ticks() const {
  std::vector<double> out;
  for (int i = 0; i <= 100; ++i) {
    const double value = low + i * step;
    if (value > high + step * 1e-6) break;
    out.push_back(value);
  }
  return out;
}

std::string draw_curve(const Curve& curve) {
  std::vector<Series> series;
  if (auto loss = collect(curve.points, &CurvePoint::loss); !loss.empty()) {
    Axis axis = axis_of(loss, 8);
    if (axis.low > 0 && axis.low <= axis.high * 0.35) axis = make_axis(0, axis.high, 8);
    series.push_back({"loss", kLossColour, false, std::move(loss), axis});
  }
  if (auto accuracy = collect(curve.points, &CurvePoint::accuracy); !accuracy.empty()) {
    Axis axis = axis_of(accuracy, 8);
    axis.low = std::max(axis.low, 0.0);
    if (axis.high > 1 && axis.high < 1.3) axis.high = 1;
    series.push_back({"accuracy", kAccuracyColour, true, std::move(accuracy), axis});
  }
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"Inter, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n"
      "<style>.title{{font-size:19px;font-weight:600}}.subtitle{{font-size:13px}}.tick{{font-size:12.5px}}"
      ".axis{{font-size:14px;font-weight:500}}.legend{{font-size:13px}}</style>\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
      kWidth, kHeight);
  out += text(kLeft, 38, "class=\"title\" fill=\"#212529\"", curve.title);
  if (!curve.subtitle.empty()) out += text(kLeft, 60, "class=\"subtitle\" fill=\"#868e96\"", curve.subtitle);
  if (series.empty()) {
    out += text(kWidth / 2, kHeight / 2, "class=\"axis\" fill=\"#868e96\" text-anchor=\"middle\"",
                "no points were recorded");
    return out + "</svg>\n";
  }
  const Axis x_axis = x_axis_of(series);
  for (std::size_t i = 0; i < series.size(); ++i) out += draw_y_axis(series[i], !series[i].percent, i == 0);
  out += draw_x_axis(x_axis, curve.x_label);
  for (const Series& one : series) out += draw_series(one, x_axis);
  return out + draw_legend(series) + "</svg>\n";
}

}  // namespace muster::cli
