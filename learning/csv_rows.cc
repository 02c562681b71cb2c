// learning/csv_rows.cc: line ends by hand, so that every row knows its line; cells by libcsv
#include "learning/csv_rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/check.h"

namespace muster::learning {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 && c != '\t' && c != '\r' && c != '\n' && c != '\f';
}

// By the byte order mark.
const char* wide_encoding(std::string_view line) {
  using namespace std::string_view_literals;
  if (line.starts_with("\xFF\xFE\0\0"sv) || line.starts_with("\0\0\xFE\xFF"sv)) return "UTF-32";
  return line.starts_with("\xFF\xFE") || line.starts_with("\xFE\xFF") ? "UTF-16" : nullptr;
}

}  // namespace

Result<TextLines> TextLines::open(const std::filesystem::path& path) {
  MUSTER_ASSIGN(PackedFile file, PackedFile::open(path));
  return TextLines(path, std::move(file));
}

Status TextLines::fill() {
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  const std::size_t before = buffer_.size();
  if (before > kLongestLine)
    return invalid_argument(fmt::format("{}: line {} is longer than {} bytes; is this a CSV file?",
                                        path_.string(), number_ + 1, kLongestLine));
  buffer_.resize(before + kBlock);
  MUSTER_ASSIGN(const std::size_t got,
                file_.read(std::span(reinterpret_cast<std::uint8_t*>(buffer_.data()) + before, kBlock)));
  buffer_.resize(before + got);
  ended_ = got < kBlock;
  if (ended_ && file_.ends_early())
    return data_loss(fmt::format("{}: truncated: its {} stream ends early; fetch the file again",
                                 path_.string(), file_.packing()));
  return {};
}

// One past the end of the next line; nothing when more of the file has to be read first.
std::optional<std::size_t> TextLines::find_end() {
  const auto from = buffer_.begin() + static_cast<std::ptrdiff_t>(scanned_);
  const auto end = std::find_if(from, buffer_.end(), [](char c) { return c == '\n' || c == '\r'; });
  scanned_ = static_cast<std::size_t>(end - buffer_.begin());
  if (end == buffer_.end()) return ended_ && begin_ < buffer_.size() ? std::optional(scanned_) : std::nullopt;
  if (*end == '\n') return scanned_ + 1;
  if (scanned_ + 1 == buffer_.size() && !ended_) return std::nullopt;  // perhaps the first half of a CRLF
  return scanned_ + (scanned_ + 1 < buffer_.size() && buffer_[scanned_ + 1] == '\n' ? 2 : 1);
}

Status TextLines::check_text(std::string_view line) const {
  if (const char* encoding = number_ == 1 ? wide_encoding(line) : nullptr)
    return invalid_argument(fmt::format("{}: is {} text; save it as UTF-8", path_.string(), encoding));
  if (std::ranges::any_of(line, is_control))
    return invalid_argument(
        fmt::format("{}: is not a text file (line {} has control characters); unpack or convert it to "
                    "comma-separated values",
                    path_.string(), number_));
  return {};
}

Result<std::optional<std::string_view>> TextLines::next() {
  std::optional<std::size_t> end;
  while (!(end = find_end())) {
    if (ended_) return std::optional<std::string_view>();
    MUSTER_TRY(fill());
  }
  auto line = std::string_view(buffer_).substr(begin_, *end - begin_);
  begin_ = scanned_ = *end;
  ++number_;
  if (number_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  MUSTER_TRY(check_text(line));
  return std::optional(line);
}

std::string_view take_line(std::string_view& text) {
  std::size_t end = std::min(text.find_first_of("\r\n"), text.size() - 1) + 1;
  if (text[end - 1] == '\r' && text.substr(end).starts_with('\n')) ++end;
  const auto line = text.substr(0, end);
  text.remove_prefix(end);
  return line;
}

namespace {

// libcsv's callbacks have no type; these name ours.
struct Row {
  std::string& text;
  std::vector<std::size_t>& ends;
  bool& complete;
};

void on_cell(void* bytes, std::size_t size, void* data) {
  auto& row = *static_cast<Row*>(data);
  row.text.append(static_cast<const char*>(bytes), size);
  row.ends.push_back(row.text.size());
}

void on_row(int /*line_end*/, void* data) { static_cast<Row*>(data)->complete = true; }

}  // namespace

CsvRows::CsvRows(char separator) {
  MUSTER_CHECK(csv_init(&parser_, CSV_STRICT) == 0);
  csv_set_delim(&parser_, static_cast<unsigned char>(separator));
  csv_set_blk_size(&parser_, 4096);
}
CsvRows::~CsvRows() { csv_free(&parser_); }

void CsvRows::begin() {
  if (!complete_) return;
  text_.clear();
  ends_.clear();
  complete_ = false;
}

bool CsvRows::take() {
  cells_.clear();
  if (!complete_) return false;
  std::size_t from = 0;
  for (const std::size_t end : ends_) {
    cells_.push_back(std::string_view(text_).substr(from, end - from));
    from = end;
  }
  return true;
}

bool CsvRows::feed(std::string_view line) {
  begin();
  Row row{text_, ends_, complete_};
  while (!broken_ && !line.empty()) {
    line.remove_prefix(csv_parse(&parser_, line.data(), line.size(), on_cell, on_row, &row));
    if (line.empty()) break;
    // libcsv stands before what its strictness refuses: a quote in an unquoted cell, which is a letter here,
    // or text behind a closing quote, which without strictness would run on to the next quote.
    broken_ = parser_.quoted != 0;
    csv_set_opts(&parser_, 0);
    MUSTER_CHECK(csv_parse(&parser_, line.data(), 1, on_cell, on_row, &row) == 1);
    csv_set_opts(&parser_, CSV_STRICT);
    line.remove_prefix(1);
  }
  return take();
}

bool CsvRows::finish() {
  begin();
  Row row{text_, ends_, complete_};
  MUSTER_CHECK(csv_fini(&parser_, on_cell, on_row, &row) == 0);
  return take();
}

std::size_t CsvRows::open_bytes() const {
  constexpr int kFieldBegun = 2;  // libcsv's name for it is private: inside a cell
  const bool open = !complete_ && parser_.quoted != 0 && parser_.pstate == kFieldBegun;
  return open ? text_.size() + parser_.entry_pos : 0;
}

}  // namespace muster::learning
