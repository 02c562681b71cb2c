#pragma once  // learning/csv_rows.h: lines of a text file, and rows of cells out of them (RFC 4180, libcsv)
#include <csv.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "learning/packed_file.h"

namespace muster::learning {

// The lines of a text file in UTF-8 or a superset of ASCII, plain, gzip or zstd. LF, CRLF or CR ends a line.
class TextLines {
 public:
  static constexpr std::size_t kLongestLine = std::size_t{64} << 20;

  [[nodiscard]] static Result<TextLines> open(const std::filesystem::path& path);

  // The next line with its end, valid until the next call; nothing at the end of the file. The first one
  // comes without a byte order mark.
  // Errors: kInvalidArgument (bytes that no text has, a line longer than kLongestLine), PackedFile's.
  [[nodiscard]] Result<std::optional<std::string_view>> next();
  [[nodiscard]] std::int64_t number() const { return number_; }  // of the line last read, from 1

 private:
  TextLines(std::filesystem::path path, PackedFile file) : path_(std::move(path)), file_(std::move(file)) {}
  [[nodiscard]] Status fill();
  [[nodiscard]] std::optional<std::size_t> find_end();
  [[nodiscard]] Status check_text(std::string_view line) const;

  std::filesystem::path path_;
  PackedFile file_;
  std::string buffer_;
  std::size_t begin_ = 0;    // of the next line in buffer_
  std::size_t scanned_ = 0;  // no line ends before this
  bool ended_ = false;       // buffer_ holds the rest of the file
  std::int64_t number_ = 0;
};

// Cuts the first line, with its end, from `text`.
[[nodiscard]] std::string_view take_line(std::string_view& text);

// Splits text that comes line by line into rows. Cells come without their quotes and, unless quoted, without
// the spaces around them. Rows without any cell are passed over. A quote inside an unquoted cell is a letter;
// text behind a closing quote, after which nobody could say where the cell ends, makes the rows broken.
class CsvRows {
 public:
  explicit CsvRows(char separator);
  ~CsvRows();
  CsvRows(const CsvRows&) = delete;
  CsvRows& operator=(const CsvRows&) = delete;

  // Takes the next line with its end. True when it completes a row: cells() are it until the next call.
  [[nodiscard]] bool feed(std::string_view line);
  // After the last line: true when it completed a row although it had no end.
  [[nodiscard]] bool finish();
  [[nodiscard]] bool broken() const { return broken_; }  // once, and for good
  [[nodiscard]] std::span<const std::string_view> cells() const { return cells_; }
  // Bytes of the row so far when a quoted cell goes on in the next line, else 0.
  [[nodiscard]] std::size_t open_bytes() const;

 private:
  void begin();
  [[nodiscard]] bool take();

  csv_parser parser_{};
  std::string text_;               // of all cells of the row
  std::vector<std::size_t> ends_;  // in text_
  bool complete_ = false;
  bool broken_ = false;
  std::vector<std::string_view> cells_;
};

}  // namespace muster::learning
