// kube/read_object.cc: managedFields are cut out before a parser sees them
#include "kube/read_object.h"

#include <array>
#include <string>

#include "common/json/read_json.h"

namespace muster::kube {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

bool is_open(char c) { return c == '{' || c == '['; }
bool is_close(char c) { return c == '}' || c == ']'; }

// Where it goes on after the string, or the value, that begins at `from`. At the end at the latest.
std::size_t after_string(std::string_view text, std::size_t from) {
  for (std::size_t i = from + 1; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;
    else if (text[i] == '"')
      return i + 1;
  }
  return text.size();
}

std::size_t after_value(std::string_view text, std::size_t from) {
  int depth = 0;
  for (std::size_t i = from; i < text.size(); ++i) {
    if (text[i] == '"') i = after_string(text, i) - 1;
    if (is_open(text[i])) ++depth;
    if (is_close(text[i])) --depth;
    if (depth < 0 || (depth == 0 && text[i] == ',')) return i;
  }
  return text.size();
}

// The names of members that lead to the place that is read: of level 1 the root's. An array has none.
class Path {
 public:
  void enter() {
    ++depth_;
    at({});
  }
  void leave() { --depth_; }
  void at(std::string_view member) {
    if (depth_ > 0 && depth_ < kLevels) names_[static_cast<std::size_t>(depth_)] = member;
  }
  [[nodiscard]] bool is_managed_fields() const {
    if (depth_ < 2 || depth_ >= kLevels) return false;
    const auto last = static_cast<std::size_t>(depth_);
    if (names_[last] != "managedFields" || names_[last - 1] != "metadata") return false;
    if (last == 2) return true;
    return last == 3 ? names_[1] == "object" : names_[1] == "items" && names_[2].empty();
  }

 private:
  static constexpr int kLevels = 5;
  int depth_ = 0;
  std::array<std::string_view, kLevels> names_{};
};

// With the comma after it, or else the one before it.
std::size_t cut_member(std::string_view text, std::size_t from, std::string& kept) {
  const std::size_t end = text.find_first_not_of(kSpace, after_value(text, from));
  if (end == std::string_view::npos) return text.size();
  if (text[end] == ',') return end + 1;
  if (const std::size_t last = kept.find_last_not_of(kSpace); last != std::string::npos && kept[last] == ',')
    kept.erase(last);
  return end;
}

std::string without_managed_fields(std::string_view text) {
  std::string kept;
  Path path;
  std::size_t copied = 0;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '"') {
      if (is_open(text[i])) path.enter();
      if (is_close(text[i])) path.leave();
      ++i;
      continue;
    }
    const std::size_t end = after_string(text, i);
    const std::size_t colon = text.find_first_not_of(kSpace, end);
    if (colon == std::string_view::npos || text[colon] != ':') {
      i = end;
      continue;
    }
    path.at(text.substr(i + 1, end - i - 2));
    if (!path.is_managed_fields()) {
      i = colon;
      continue;
    }
    kept += text.substr(copied, i - copied);
    copied = i = cut_member(text, colon + 1, kept);
  }
  return kept += text.substr(copied);
}

}  // namespace

Json read_object(std::string_view text) {
  return text.find("\"managedFields\"") == std::string_view::npos ? read_json(text)
                                                                  : read_json(without_managed_fields(text));
}

}  // namespace muster::kube
