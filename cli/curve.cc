// cli/curve.cc: the points of a learning curve, from and to CSV, and from an object's status
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "cli/plot.h"

namespace muster::cli {
namespace {

std::vector<std::string_view> split(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::vector<std::string_view> cells;
  for (;;) {
    const std::size_t comma = line.find(',');
    cells.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return cells;
    line.remove_prefix(comma + 1);
  }
}

struct Columns {
  std::size_t at = std::string_view::npos, loss = std::string_view::npos, accuracy = std::string_view::npos;
};

Columns find_columns(std::string_view header) {
  Columns columns;
  const auto cells = split(header);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (cells[i] == "at" || cells[i] == "step" || cells[i] == "round") columns.at = i;
    if (cells[i] == "loss") columns.loss = i;
    if (cells[i] == "accuracy") columns.accuracy = i;
  }
  return columns;
}

// An empty cell is no value; nullopt is a cell that is no number.
std::optional<std::optional<double>> cell_value(const std::vector<std::string_view>& cells,
                                                std::size_t column) {
  if (column >= cells.size() || cells[column].empty()) return std::optional<double>();
  const std::string_view cell = cells[column];
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc() || end != cell.data() + cell.size()) return std::nullopt;
  return std::optional<double>(value);
}

std::optional<double> member(const Json& point, const char* name) {
  const auto value = point.find(name);
  return value != point.end() && value->is_number() ? std::optional<double>(value->get<double>())
                                                    : std::nullopt;
}

}  // namespace

Result<std::vector<CurvePoint>> curve_from_csv(std::string_view text, const std::string& file) {
  const std::size_t header_end = std::min(text.find('\n'), text.size());
  const Columns columns = find_columns(text.substr(0, header_end));
  if (columns.at == std::string_view::npos ||
      (columns.loss == std::string_view::npos && columns.accuracy == std::string_view::npos)) {
    return invalid_argument(
        fmt::format("{}:1: not a learning curve: the first line must be like 'step,loss,accuracy'", file));
  }
  std::vector<CurvePoint> points;
  int number = 1;
  for (std::size_t at = header_end + 1; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const auto cells = split(text.substr(at, end - at));
    at = end + 1;
    ++number;
    if (cells.size() == 1 && cells[0].empty()) continue;
    const auto x = cell_value(cells, columns.at);
    const auto loss = cell_value(cells, columns.loss);
    const auto accuracy = cell_value(cells, columns.accuracy);
    if (!x || !*x || !loss || !accuracy || !(std::abs(**x) < 9e15)) {
      return invalid_argument(
          fmt::format("{}:{}: not numbers; a line is like '200,0.4123,0.8612'", file, number));
    }
    points.push_back({static_cast<std::int64_t>(**x), *loss, *accuracy});
  }
  return points;
}

std::vector<CurvePoint> curve_from_history(const Json& history) {
  std::vector<CurvePoint> points;
  if (!history.is_array()) return points;
  for (const Json& point : history) {
    if (!point.is_object() || !point.contains("at") || !point["at"].is_number_integer()) continue;
    points.push_back({point["at"].get<std::int64_t>(), member(point, "loss"), member(point, "accuracy")});
  }
  return points;
}

std::string curve_to_csv(const std::vector<CurvePoint>& points, std::string_view unit) {
  const auto cell = [](const std::optional<double>& value) {
    return value ? fmt::format("{:.9g}", *value) : "";
  };
  std::string out = fmt::format("{},loss,accuracy\n", unit);
  for (const CurvePoint& point : points) {
    out += fmt::format("{},{},{}\n", point.at, cell(point.loss), cell(point.accuracy));
  }
  return out;
}

}  // namespace muster::cli
