#pragma once  // learning/csv_number.h: numbers as people, pandas, R and Excel write them. Pure
#include <optional>
#include <string_view>

namespace muster::learning {

[[nodiscard]] std::string_view trim(std::string_view text);
[[nodiscard]] bool equal_but_case(std::string_view a, std::string_view b);  // of ASCII letters

// Whether a cell stands for a value that is missing: empty, nan, NA, n/a, null, none, ?; case is ignored.
[[nodiscard]] bool is_missing(std::string_view cell);

// Reads cells of one file. Where cells are separated by semicolons, a comma may be the decimal point, but
// then in all numbers of the file: 1,234 beside 1.5 could mean either.
class NumberReader {
 public:
  explicit NumberReader(char separator) : comma_allowed_(separator == ';') {}

  // A finite number; true and false count as 1 and 0. Numbers nearer to 0 than any float are 0.
  [[nodiscard]] std::optional<float> read(std::string_view cell);
  // Why `cell`, for which read gave nothing, is none; words for a message that do not quote it.
  [[nodiscard]] std::string_view why_not(std::string_view cell) const;

 private:
  bool comma_allowed_;
  char decimal_ = 0;  // of the numbers so far; 0: none had one
};

}  // namespace muster::learning
