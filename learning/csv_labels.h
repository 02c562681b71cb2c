#pragma once  // learning/csv_labels.h: the label column of a CSV file as classes. Pure
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/result.h"

namespace muster::learning {

struct CsvClasses {
  std::vector<std::int32_t> labels;  // of each row: 0 .. count - 1
  std::int64_t count = 0;
  std::vector<std::string> names;  // of each class, where labels are no numbers from 0; else empty
};

// Collects labels row by row. Whole numbers from 0 (1 and 1.0 alike) are the classes themselves; -1 and 1 are
// two classes; names become classes in the order of their bytes, so every reader of the file finds the same.
class CsvLabels {
 public:
  // separator: as NumberReader's.
  explicit CsvLabels(char separator) : separator_(separator) {}

  // The label of the next row, which begins in `line`.
  // Errors: kInvalidArgument: a missing label, or too many different ones.
  [[nodiscard]] Status add(std::string_view cell, std::int64_t line);
  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(indexes_.size()); }

  // Errors: kInvalidArgument: labels that make no sense as classes: fractions, other numbers below 0, numbers
  // beside names, a number far beyond the count of classes, about as many classes as rows. Messages begin
  // with the line where it is one, and quote numbers alone.
  [[nodiscard]] Result<CsvClasses> classes() const;

  // Of labels that are names: the first two that differ by upper and lower case or by spaces alone, by the
  // lines where they first stand; "" where there are none.
  [[nodiscard]] std::string alike() const;

 private:
  struct Distinct {
    std::string text;
    std::int64_t line = 0;  // of the first row that has it
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  [[nodiscard]] CsvClasses from_numbers(const std::vector<std::int32_t>& numbers) const;
  [[nodiscard]] CsvClasses from_names() const;
  [[nodiscard]] Result<CsvClasses> check_numbers(const std::vector<float>& numbers) const;

  char separator_;
  std::vector<Distinct> distinct_;
  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> index_of_;
  std::vector<std::int32_t> indexes_;  // of each row, in distinct_
};

}  // namespace muster::learning
