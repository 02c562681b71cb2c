// learning/csv_file.cc: comma-separated numbers under a header line
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <fstream>
#include <numeric>
#include <optional>

#include "common/base/random.h"
#include "common/base/text.h"
#include "common/json/read_json.h"
#include "learning/atomic_file.h"
#include "learning/readers.h"

namespace muster::learning {
namespace {

constexpr std::int64_t kMostClasses = 10'000;
constexpr std::size_t kShownNames = 10;  // of columns, in an error
constexpr std::size_t kShownBytes = 60;  // of a name or cell, in an error

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t'; });
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return text;
}

void split(std::string_view line, std::vector<std::string_view>& cells) {
  cells.clear();
  while (true) {
    const std::size_t comma = line.find(',');
    cells.push_back(trim(line.substr(0, comma)));
    if (comma == std::string_view::npos) return;
    line.remove_prefix(comma + 1);
  }
}

// What an error shows of a name or cell: it ends up in a log and in a status, which hold text alone.
std::string shown(std::string_view text) {
  return is_utf8(text) && !has_control(text) ? clip(text, kShownBytes) : "(bytes that are no text)";
}

// Nothing: not a finite number.
std::optional<float> number_of(std::string_view cell) {
  const char* const end = cell.data() + cell.size();
  float value = 0;
  auto [stop, error] = std::from_chars(cell.data(), end, value);
  if (error == std::errc::result_out_of_range) {
    // Nearer to 0 than any float: 0. The type is wide enough to tell such numbers from too large ones.
    long double wide = 0;
    error = std::from_chars(cell.data(), end, wide).ec;
    if (std::abs(wide) > 1) return std::nullopt;
    value = static_cast<float>(wide);
  }
  if (error != std::errc() || stop != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

struct Table {
  std::size_t columns = 0;
  std::size_t label_column = 0;
  std::vector<std::string> names;
  std::vector<float> features;  // [rows, columns - 1]
  std::vector<std::int32_t> labels;
};

Status read_row(Table& table, const std::vector<std::string_view>& cells, const std::string& where) {
  if (cells.size() != table.columns)
    return invalid_argument(
        fmt::format("{}: has {} cells, the header has {}; make every row as long as the header", where,
                    cells.size(), table.columns));
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const char* const end = cells[i].data() + cells[i].size();
    if (i == table.label_column) {
      std::int32_t label = 0;
      const auto [stop, error] = std::from_chars(cells[i].data(), end, label);
      if (error != std::errc() || stop != end || label < 0 || label >= kMostClasses)
        return invalid_argument(fmt::format("{}: label \"{}\" is \"{}\", must be a whole number from 0 to {}",
                                            where, shown(table.names[i]), shown(cells[i]), kMostClasses - 1));
      table.labels.push_back(label);
      continue;
    }
    const auto value = number_of(cells[i]);
    if (!value)
      return invalid_argument(
          fmt::format("{}: column \"{}\" is \"{}\", not a finite number; correct or remove the row", where,
                      shown(table.names[i]), shown(cells[i])));
    table.features.push_back(*value);
  }
  return {};
}

std::vector<std::string> shown_names(const std::vector<std::string>& names) {
  std::vector<std::string> result;
  for (const std::string& name : std::span(names).first(std::min(names.size(), kShownNames)))
    result.push_back(shown(name));
  return result;
}

Status read_names(Table& table, const std::vector<std::string_view>& cells, const std::string& name,
                  const std::string& label_column) {
  for (const auto cell : cells) table.names.emplace_back(cell);
  table.columns = cells.size();
  const auto found = std::find(table.names.begin(), table.names.end(), label_column);
  if (found == table.names.end())
    return invalid_argument(
        fmt::format("{}: has no column \"{}\"; set dataset.csv.labelColumn to one of its {} columns: {}{}",
                    name, label_column, table.columns, fmt::join(shown_names(table.names), ", "),
                    table.columns > kShownNames ? ", ..." : ""));
  if (table.columns < 2)
    return invalid_argument(fmt::format("{}: has no feature column beside the label", name));
  table.label_column = static_cast<std::size_t>(found - table.names.begin());
  return {};
}

Result<Table> read_table(const std::filesystem::path& path, const std::string& label_column) {
  const std::string name = path.string();
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    return invalid_argument(fmt::format("dataset path {}: is a folder; name the CSV file", name));
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return file_error("read", path, errno != 0 ? errno : EACCES);
  Table table;
  std::string line;
  std::vector<std::string_view> cells;
  for (std::int64_t number = 1; std::getline(stream, line); ++number) {
    std::string_view text = line;
    if (number == 1 && text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a byte order mark
    if (number > 1 && trim(text).empty()) continue;
    split(text, cells);
    if (number == 1) {
      if (has_control(trim(text)))
        return invalid_argument(
            fmt::format("{}: is not a text file; unpack or convert it to comma-separated values", name));
      MUSTER_TRY(read_names(table, cells, name, label_column));
    } else {
      MUSTER_TRY(read_row(table, cells, fmt::format("{} line {}", name, number)));
    }
  }
  if (stream.bad()) return file_error("read", path, errno != 0 ? errno : EIO);
  if (table.names.empty())
    return invalid_argument(fmt::format("{}: is empty; it needs a header line and rows", name));
  if (table.labels.size() < 2)
    return invalid_argument(
        fmt::format("{}: has {} row(s) under its header, at least 2 are needed (one to train on, one "
                    "to test)",
                    name, table.labels.size()));
  return table;
}

Examples select(const Table& table, std::span<const std::size_t> rows, std::int64_t class_count) {
  const std::size_t width = table.columns - 1;
  Examples examples;
  examples.feature_count = static_cast<std::int64_t>(width);
  examples.class_count = class_count;
  examples.shape = {examples.feature_count};
  for (const std::size_t row : rows) {
    const auto begin = table.features.begin() + static_cast<std::ptrdiff_t>(row * width);
    examples.features.insert(examples.features.end(), begin, begin + static_cast<std::ptrdiff_t>(width));
    examples.labels.push_back(table.labels[row]);
  }
  return examples;
}

}  // namespace

Result<Dataset> read_csv(const std::filesystem::path& path, const spec::Csv& spec, std::uint64_t seed) {
  MUSTER_ASSIGN(const Table table, read_table(path, spec.label_column));
  std::vector<std::size_t> order(table.labels.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random(hash_key(seed)).shuffle(std::span(order));
  const auto wanted = static_cast<std::size_t>(spec.test_fraction * static_cast<double>(order.size()));
  const std::size_t test = std::clamp(wanted, std::size_t{1}, order.size() - 1);
  const std::int64_t classes = 1 + *std::max_element(table.labels.begin(), table.labels.end());
  const auto rows = std::span<const std::size_t>(order);
  Dataset data;
  data.train = select(table, rows.first(order.size() - test), classes);
  data.test = select(table, rows.last(test), classes);
  return data;
}

}  // namespace muster::learning
