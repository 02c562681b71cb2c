// learning/csv_header.cc: finds the header line and the separator
#include "learning/csv_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "common/base/text.h"
#include "common/base/utf8.h"
#include "learning/csv_number.h"

namespace muster::learning {
namespace {

constexpr std::string_view kSeparators = ",;\t|";
constexpr std::size_t kLinesMax = 100;   // of one header whose names hold line breaks
constexpr std::size_t kShownBytes = 60;  // of a column's name, in a message
constexpr std::size_t kColumnsMax = 1'000'000;

struct Split {
  char separator = ',';
  std::vector<std::string> names;
  std::size_t labels = 0;  // columns of the label's name
  bool open = false;       // a quoted name goes on in the next line
  bool broken = false;
  std::string rest;  // lines after the header
};

// The first row of `text`.
Split split(std::string_view text, char separator, std::string_view label) {
  CsvRows rows(separator);
  Split result{.separator = separator, .names = {}, .rest = {}};
  bool complete = false;
  while (!complete && !text.empty()) complete = rows.feed(take_line(text));
  result.open = rows.open_bytes() > 0;
  result.broken = rows.broken();
  if (!complete) (void)rows.finish();
  result.rest = text;
  for (const auto cell : rows.cells()) {
    result.names.emplace_back(trim(cell));
    if (result.names.back() == label) ++result.labels;
  }
  return result;
}

Split best_split(std::string_view header, std::string_view label, std::optional<char> separator) {
  if (separator) return split(header, *separator, label);
  std::optional<Split> best;
  for (const char candidate : kSeparators) {
    Split next = split(header, candidate, label);
    const auto rank = [](const Split& s) {
      return std::tuple(!s.broken, s.labels > 0, !s.open, s.names.size());
    };
    if (!best || rank(next) > rank(*best)) best = std::move(next);
  }
  return *std::move(best);
}

std::string_view name_of(char separator) {
  switch (separator) {
    case ',': return "commas";
    case ';': return "semicolons";
    case '\t': return "tabs";
    default: return "\"|\"";
  }
}

Error no_label(const Split& header, const std::string& file, std::int64_t line, const std::string& label) {
  const std::string what = fmt::format("{}: has no column \"{}\"", file, label);
  NumberReader numbers(header.separator);
  if (std::ranges::all_of(header.names, [&](const auto& name) { return numbers.read(name).has_value(); }))
    return invalid_argument(
        fmt::format("{}: line {} holds numbers alone, so the file has no header; put a line with the names "
                    "of its {} column(s) before it",
                    what, line, header.names.size()));
  const auto alike =
      std::ranges::find_if(header.names, [&](const auto& name) { return equal_but_case(name, label); });
  if (alike != header.names.end())
    return invalid_argument(
        fmt::format("{}, but \"{}\"; write dataset.csv.labelColumn as the file does", what, *alike));
  if (header.names.size() == 1)
    return invalid_argument(
        fmt::format("{}: its header (line {}) is one cell; separate cells by commas, semicolons, tabs or "
                    "\"|\", and set dataset.csv.labelColumn to the label's name",
                    what, line));
  return invalid_argument(
      fmt::format("{} among the {} of its header (line {}, separated by {}); set dataset.csv.labelColumn to "
                  "the label's name",
                  what, header.names.size(), line, name_of(header.separator)));
}

// "Unnamed: 0": what pandas makes of an empty name when it writes the file again.
bool has_no_name(std::string_view name) {
  constexpr std::string_view kPandas = "Unnamed: ";
  if (!name.starts_with(kPandas)) return name.empty();
  return name.find_first_not_of("0123456789._", kPandas.size()) == std::string_view::npos;
}

Result<CsvHeader> columns_of(Split&& chosen, const std::string& file, const std::string& label) {
  CsvHeader header{.separator = chosen.separator,
                   .names = std::move(chosen.names),
                   .columns = {},
                   .first_rows = std::move(chosen.rest)};
  if (chosen.labels > 1)
    return invalid_argument(
        fmt::format("{}: has {} columns \"{}\"; rename all but one", file, chosen.labels, label));
  // Separators at the end of the header: a spreadsheet's empty columns.
  while (header.names.size() > 1 && header.names.back().empty()) {
    header.names.pop_back();
    ++header.unnamed_last;
  }
  if (header.names.size() > kColumnsMax)
    return invalid_argument(
        fmt::format("{}: has {} columns, at most {} are read", file, header.names.size(), kColumnsMax));
  bool leading = true;
  for (const auto& name : header.names) {
    const bool unnamed = has_no_name(name);
    leading = leading && unnamed;
    if (name == label) {
      header.columns.push_back(CsvColumn::kLabel);
    } else if (unnamed) {
      header.columns.push_back(leading ? CsvColumn::kIndex : CsvColumn::kNothing);
    } else {
      header.columns.push_back(CsvColumn::kFeature);
      ++header.features;
    }
  }
  if (header.features == 0)
    return invalid_argument(fmt::format("{}: has no feature column beside the label", file));
  return header;
}

std::optional<char> declared_separator(std::string_view line) {
  const auto text = trim(line);
  if (line.starts_with("sep=\t")) return '\t';
  if (text.size() != 5 || !text.starts_with("sep=")) return std::nullopt;
  return text[4];
}

// A name in quotes may hold line breaks: the header goes on while none of its readings has the label and
// ends.
Result<Split> split_header(TextLines& lines, std::string& header, std::string_view label,
                           std::optional<char> separator) {
  Split best = best_split(header, label, separator);
  for (std::size_t count = 1; best.open && count < kLinesMax; ++count) {
    MUSTER_ASSIGN(const auto line, lines.next());
    if (!line) break;
    header += *line;
    best = best_split(header, label, separator);
  }
  return best;
}

}  // namespace

std::string CsvHeader::column(std::size_t i) const {
  const std::string& name = names[i];
  const bool text = !name.empty() && is_utf8(name) && name.find_first_of("\r\n\t\f") == std::string::npos;
  return text ? fmt::format("column \"{}\"", clip(name, kShownBytes)) : fmt::format("column {}", i + 1);
}

Result<CsvHeader> read_csv_header(TextLines& lines, const std::string& file,
                                  const std::string& label_column) {
  const auto label = trim(label_column);
  std::string comment;  // the last line behind #
  std::string header;
  std::optional<char> separator;
  while (header.empty()) {
    MUSTER_ASSIGN(const auto line, lines.next());
    if (!line) break;
    const auto text = trim(*line);
    if (text.empty()) continue;
    if (text.starts_with('#')) {
      comment = text.substr(1);
    } else if (const auto declared = declared_separator(*line)) {
      separator = declared;
    } else {
      header = *line;
    }
  }
  if (header.empty() && comment.empty())
    return invalid_argument(fmt::format("{}: is empty; it needs a header line and rows", file));
  const std::int64_t number = lines.number();
  MUSTER_ASSIGN(Split chosen, split_header(lines, header, label, separator));
  if (chosen.broken)
    return invalid_argument(fmt::format(
        "{} line {}: text stands behind the closing quote of a name; write a quote inside a name twice", file,
        number));
  if (chosen.labels == 0) {
    Split commented = best_split(comment, label, separator);
    if (commented.labels == 0) return no_label(chosen, file, number, label_column);
    MUSTER_ASSIGN(CsvHeader found, columns_of(std::move(commented), file, std::string(label)));
    found.first_rows = std::move(header);
    return found;
  }
  return columns_of(std::move(chosen), file, std::string(label));
}

}  // namespace muster::learning
