// learning/csv_labels.cc: labels that are numbers, labels that are names, and labels that cannot be meant
#include "learning/csv_labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "learning/csv_number.h"
#include "learning/readers.h"

namespace muster::learning {
namespace {

constexpr std::int64_t kMostClasses = 10'000;
constexpr std::int64_t kFewClasses = 20;  // so many are plausible however few rows there are

// Without the differences that a reader overlooks.
std::string overlooked(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    if (c == ' ' || c == '\t') continue;
    plain += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  return plain;
}

}  // namespace

Status CsvLabels::add(std::string_view cell, std::int64_t line) {
  const auto text = trim(cell);
  if (!indexes_.empty()) {  // files are often sorted by label
    const std::int32_t last = indexes_.back();
    if (distinct_[static_cast<std::size_t>(last)].text == text) {
      indexes_.push_back(last);
      return {};
    }
  }
  auto found = index_of_.find(text);
  if (found == index_of_.end()) {
    const bool class_name = text == "?" || equal_but_case(text, "none");  // damage: none, small, large
    if (is_missing(text) && !class_name)
      return invalid_argument(
          fmt::format(" line {}: the label is missing; fill it in or remove the row", line));
    if (std::ssize(distinct_) >= kMostClasses)
      return invalid_argument(fmt::format(
          ": its label column has more than {} different values; is it the label?", kMostClasses));
    found = index_of_.emplace(text, static_cast<std::int32_t>(distinct_.size())).first;
    distinct_.push_back({std::string(text), line});
  }
  indexes_.push_back(found->second);
  return {};
}

CsvClasses CsvLabels::from_numbers(const std::vector<std::int32_t>& numbers) const {
  CsvClasses result{.labels = {}, .count = 1 + *std::ranges::max_element(numbers), .names = {}};
  result.labels.reserve(indexes_.size());
  for (const std::int32_t index : indexes_) result.labels.push_back(numbers[static_cast<std::size_t>(index)]);
  return result;
}

CsvClasses CsvLabels::from_names() const {
  std::vector<std::size_t> order(distinct_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) -> const std::string& { return distinct_[i].text; });
  std::vector<std::int32_t> class_of(distinct_.size());
  for (std::size_t i = 0; i < order.size(); ++i) class_of[order[i]] = static_cast<std::int32_t>(i);
  CsvClasses result = from_numbers(class_of);
  for (const std::size_t i : order) result.names.push_back(distinct_[i].text);
  return result;
}

Result<CsvClasses> CsvLabels::check_numbers(const std::vector<float>& numbers) const {
  std::vector<std::int32_t> classes;
  std::size_t largest = 0;
  const bool signs = std::ranges::all_of(numbers, [](float n) { return n == 1 || n == -1; });
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const float number = numbers[i];
    if (number != std::floor(number))
      return invalid_argument(fmt::format(
          " line {}: the label {} is not a whole number; classes are whole numbers from 0, or names "
          "(a continuous target cannot be learnt)",
          distinct_[i].line, number));
    if (number < 0 && !signs)
      return invalid_argument(
          fmt::format(" line {}: the label {} is below 0; number the classes from 0 or give them names",
                      distinct_[i].line, number));
    if (number > numbers[largest]) largest = i;
    classes.push_back(static_cast<std::int32_t>(std::min(number, 1e9F)));
  }
  if (signs) {
    for (std::int32_t& one : classes) one = one < 0 ? 0 : 1;
    CsvClasses result = from_numbers(classes);
    result.count = 2;
    result.names = {"-1", "1"};
    return result;
  }
  if (classes[largest] >= std::min(plausible_classes(std::ssize(numbers)), kMostClasses))
    return invalid_argument(
        fmt::format(" line {}: the label {} is far above the number of different labels of the file, {}; "
                    "correct the row, "
                    "number the classes from 0 without gaps, or give them names",
                    distinct_[largest].line, numbers[largest], numbers.size()));
  return from_numbers(classes);
}

Result<CsvClasses> CsvLabels::classes() const {
  const std::int64_t count = std::ssize(distinct_);
  if (count > std::max(kFewClasses, rows() / 2))
    return invalid_argument(fmt::format(
        ": its label column has {} different values in {} rows; is it the label?", count, rows()));
  std::vector<float> numbers;
  std::optional<std::size_t> name;
  for (std::size_t i = 0; i < distinct_.size(); ++i) {
    const std::string& text = distinct_[i].text;
    const bool word = text.find_first_of("0123456789") == std::string::npos;  // "true" is a name here
    const auto number = word ? std::nullopt : NumberReader(separator_).read(text);
    if (number) {
      numbers.push_back(*number);
    } else if (!name) {
      name = i;
    }
  }
  if (!name) return check_numbers(numbers);
  if (numbers.empty()) return from_names();
  return invalid_argument(fmt::format(
      " line {}: the label is text, but {} of the {} different labels of the file are numbers; correct "
      "the row, or give all classes names",
      distinct_[*name].line, numbers.size(), count));
}

std::string CsvLabels::alike() const {
  std::unordered_map<std::string, std::int64_t> line_of;
  for (const Distinct& label : distinct_) {
    const auto [first, fresh] = line_of.emplace(overlooked(label.text), label.line);
    if (!fresh)
      return fmt::format("the labels of lines {} and {} differ by upper and lower case or spaces alone",
                         first->second, label.line);
  }
  return "";
}

}  // namespace muster::learning
