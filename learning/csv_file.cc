// learning/csv_file.cc: a CSV file as examples: features, classes, and two parts of its rows
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include "common/base/random.h"
#include "learning/csv_header.h"
#include "learning/csv_labels.h"
#include "learning/csv_number.h"
#include "learning/readers.h"

namespace muster::learning {
namespace {

constexpr std::size_t kLargestOpenRow = std::size_t{1} << 20;  // while a quoted cell in it goes on
constexpr std::size_t kRowsThatCount = 10;  // a column 0, 1, 2, ... of so many rows numbers them

// Rows one by one into features and labels.
class Table {
 public:
  Table(std::string file, CsvHeader header)
      : file_(std::move(file)),
        header_(std::move(header)),
        numbers_(header_.separator),
        labels_(header_.separator),
        counts_rows_(header_.names.size(), true) {}

  Status add(std::span<const std::string_view> cells, std::int64_t line) {
    if (std::ranges::all_of(cells, [](auto cell) { return cell.empty(); })) {  // a spreadsheet's empty rows
      ++empty_rows_;
      return {};
    }
    MUSTER_ASSIGN(cells, fit(cells, line));
    for (std::size_t i = 0; i < cells.size(); ++i) MUSTER_TRY(add_cell(i, cells[i], line));
    ++rows_;
    return {};
  }

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t width() const { return header_.features; }
  [[nodiscard]] std::span<const float> row(std::size_t i) const {
    return std::span(features_).subspan(i * width(), width());
  }
  [[nodiscard]] Result<CsvClasses> classes() const {
    auto classes = labels_.classes();
    if (!classes) return invalid_argument(file_ + classes.error().message);
    return classes;
  }

  // What a reader of the log should know, and what the user should.
  void tell(const CsvClasses& classes, Dataset& data) const {
    const auto unnamed = std::ranges::count(header_.columns, CsvColumn::kIndex);
    if (unnamed > 0 || row_names_)
      data.notes.push_back(fmt::format("{}: its first {} column(s), which have no name, are not features",
                                       file_, unnamed + (row_names_ ? 1 : 0)));
    if (empty_rows_ > 0) data.notes.push_back(fmt::format("{}: {} empty rows", file_, empty_rows_));
    if (!classes.names.empty())
      data.notes.push_back(fmt::format(
          "{}: its {} labels are names; they are stored with the model, in order of their classes", file_,
          classes.names.size()));
    if (const std::string alike = classes.names.empty() ? "" : labels_.alike(); !alike.empty())
      data.warnings.push_back(
          fmt::format("{}: {}, and are two classes; write them alike if they are one", file_, alike));
    tell_same_names(data);
    for (std::size_t i = 0; i < header_.columns.size(); ++i) {
      if (header_.columns[i] == CsvColumn::kFeature && counts_rows_[i] && rows_ >= kRowsThatCount)
        data.warnings.push_back(
            fmt::format("{}: {} numbers the rows, and is trained on as a feature; remove it (pandas: "
                        "to_csv(index=False)), or its name, if it is an index",
                        file_, header_.column(i)));
    }
  }

 private:
  void tell_same_names(Dataset& data) const {
    std::map<std::string_view, std::size_t> first;
    for (std::size_t i = 0; i < header_.columns.size(); ++i) {
      if (header_.columns[i] != CsvColumn::kFeature) continue;
      const auto [earlier, fresh] = first.emplace(header_.names[i], i);
      if (fresh) continue;
      data.warnings.push_back(
          fmt::format("{}: its columns {} and {} have one name ({}), and both are features; remove "
                      "one if they are the same, else rename it",
                      file_, earlier->second + 1, i + 1, header_.column(i)));
      return;  // a file that repeats all is told by one sentence
    }
  }

  // The cells under the header's names: without the row's name, and without empty cells after the last.
  Result<std::span<const std::string_view>> fit(std::span<const std::string_view> cells, std::int64_t line) {
    const std::size_t width = header_.names.size();
    // R's write.table, and pandas with it: the header has no cell above the names of the rows.
    const auto all = cells.size();
    if (rows_ == 0) row_names_ = header_.unnamed_last == 0 && all == width + 1 && !cells.back().empty();
    if (row_names_) cells = cells.subspan(1);
    while (cells.size() > width && cells.back().empty()) cells = cells.first(cells.size() - 1);
    if (cells.size() > width && cells.size() <= width + header_.unnamed_last)
      return invalid_argument(fmt::format("{} line {}: column {} has a value but no name; name or remove it",
                                          file_, line, cells.size()));
    if (cells.size() != width)
      return invalid_argument(fmt::format(
          "{} line {}: has {} cells, the header has {}; make every row as long as the header, and "
          "put cells that hold the separator in double quotes",
          file_, line, all, width));
    return cells;
  }

  Status add_cell(std::size_t i, std::string_view cell, std::int64_t line) {
    switch (header_.columns[i]) {
      case CsvColumn::kIndex: return {};
      case CsvColumn::kNothing:
        if (cell.empty()) return {};
        return invalid_argument(fmt::format("{} line {}: {} has a value but no name; name or remove it",
                                            file_, line, header_.column(i)));
      case CsvColumn::kLabel:
        if (const Status added = labels_.add(cell, line); !added)
          return invalid_argument(file_ + added.error().message);
        return {};
      case CsvColumn::kFeature: break;
    }
    const auto value = numbers_.read(cell);
    if (!value)
      return invalid_argument(
          fmt::format("{} line {}: {} {}", file_, line, header_.column(i), numbers_.why_not(cell)));
    features_.push_back(*value);
    if (counts_rows_[i]) {
      if (rows_ == 0) first_[i] = *value;
      counts_rows_[i] = (first_[i] == 0 || first_[i] == 1) && *value == first_[i] + static_cast<float>(rows_);
    }
    return {};
  }

  std::string file_;
  CsvHeader header_;
  NumberReader numbers_;
  CsvLabels labels_;
  std::vector<float> features_;  // [rows, width]
  std::size_t rows_ = 0;
  std::size_t empty_rows_ = 0;
  bool row_names_ = false;         // every row has one more cell before those of the header
  std::vector<bool> counts_rows_;  // of each column: its cells so far are 0, 1, 2, ... or 1, 2, 3, ...
  std::vector<float> first_ = std::vector<float>(header_.names.size());
};

Result<Table> read_table(const std::filesystem::path& path, const std::string& label_column) {
  const std::string file = path.string();
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    return invalid_argument(fmt::format("dataset path {}: is a folder; name the CSV file", file));
  MUSTER_ASSIGN(TextLines lines, TextLines::open(path));
  MUSTER_ASSIGN(CsvHeader header, read_csv_header(lines, file, label_column));
  CsvRows rows(header.separator);
  const std::string first_rows = std::move(header.first_rows);
  Table table(file, std::move(header));
  std::int64_t row_line = lines.number();  // where the row begins that is read
  std::string_view left = first_rows;
  while (true) {
    std::optional<std::string_view> line;
    if (!left.empty()) {
      line = take_line(left);
    } else {
      MUSTER_ASSIGN(line, lines.next());
      if (rows.open_bytes() == 0) row_line = lines.number();
    }
    const bool open = rows.open_bytes() > 0;
    if (open && (!line || rows.open_bytes() > kLargestOpenRow))
      return invalid_argument(
          fmt::format("{} line {}: a cell of this row opens a quote that is not closed; close or remove it",
                      file, row_line));
    const bool complete = line ? rows.feed(*line) : rows.finish();
    if (rows.broken())
      return invalid_argument(fmt::format(
          "{} line {}: text stands behind the closing quote of a cell; write a quote inside a cell twice",
          file, row_line));
    if (complete) MUSTER_TRY(table.add(rows.cells(), row_line));
    if (!line) break;
  }
  if (table.rows() < 2)
    return invalid_argument(fmt::format(
        "{}: has {} row(s) under its header, at least 2 are needed (one to train on, one to test)", file,
        table.rows()));
  return table;
}

Examples select(const Table& table, const CsvClasses& classes, std::span<const std::size_t> rows) {
  Examples examples;
  examples.feature_count = static_cast<std::int64_t>(table.width());
  examples.class_count = classes.count;
  examples.shape = {examples.feature_count};
  examples.features.reserve(rows.size() * table.width());
  examples.labels.reserve(rows.size());
  for (const std::size_t row : rows) {
    const auto features = table.row(row);
    examples.features.insert(examples.features.end(), features.begin(), features.end());
    examples.labels.push_back(classes.labels[row]);
  }
  return examples;
}

}  // namespace

Result<Dataset> read_csv(const std::filesystem::path& path, const spec::Csv& spec, std::uint64_t seed) {
  MUSTER_ASSIGN(const Table table, read_table(path, spec.label_column));
  MUSTER_ASSIGN(CsvClasses classes, table.classes());
  std::vector<std::size_t> order(table.rows());
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random(hash_key(seed)).shuffle(std::span(order));
  const auto wanted = static_cast<std::size_t>(spec.test_fraction * static_cast<double>(order.size()));
  const std::size_t test = std::clamp(wanted, std::size_t{1}, order.size() - 1);
  const auto rows = std::span<const std::size_t>(order);
  Dataset data;
  data.train = select(table, classes, rows.first(order.size() - test));
  data.test = select(table, classes, rows.last(test));
  table.tell(classes, data);
  data.class_names = std::move(classes.names);
  return data;
}

}  // namespace muster::learning
