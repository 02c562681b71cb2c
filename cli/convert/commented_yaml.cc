// cli/convert/commented_yaml.cc: YAML with comments above the fields that they speak of
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/convert/conversion.h"
#include "common/base/text.h"
#include "common/yaml/yaml.h"

namespace muster::cli {
namespace {

constexpr std::size_t kWidth = 110;
constexpr std::size_t kLongList = 9;  // of integers: exit codes, say

using Lines = std::map<std::string, int, std::less<>>;  // field path -> line

void add_wrapped(std::string_view words, const std::string& margin, std::string& out) {
  std::string line = margin;
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    if (line.size() > margin.size() && line.size() + 1 + end > kWidth) {
      out += line + "\n";
      line = margin;
    }
    if (line.size() > margin.size()) line += ' ';
    line += words.substr(0, end);
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  out += line + "\n";
}

// Whatever a reader of YAML takes for the end of a line would end the comment.
std::string one_line(std::string_view text) {
  std::string out = printable(text);
  for (const char* separator : {"\u2028", "\u2029"})
    for (std::size_t at = 0; (at = out.find(separator, at)) != std::string::npos;) out.replace(at, 3, "?");
  return out;
}

std::string text_of(const Comment& comment, std::size_t indent) {
  std::string out;
  const std::string margin = std::string(indent, ' ') + "# ";
  for (const std::string& field : comment.fields) out += margin + one_line(field) + "\n";
  add_wrapped(one_line(comment.text), comment.fields.empty() ? margin : margin + "  ", out);
  return out;
}

int line_of(const Lines& lines, std::string pointer) {
  for (; !pointer.empty(); pointer.resize(pointer.rfind('/')))
    if (const auto at = lines.find(dotted(pointer)); at != lines.end()) return at->second;
  return 1;
}

// A long list of integers on as few lines as it needs; one beneath the other they would bury the rest.
void shorten_lists(const Json& value, const std::string& pointer, const Lines& lines,
                   std::vector<std::string>& rows) {
  if (value.is_object() || (value.is_array() && !value.empty() && value.front().is_structured())) {
    std::size_t index = 0;
    for (const auto& [key, member] : value.items())
      shorten_lists(member, value.is_object() ? below(pointer, key) : below(pointer, index++), lines, rows);
    return;
  }
  const bool integers =
      value.is_array() && value.size() >= kLongList &&
      std::all_of(value.begin(), value.end(), [](const Json& item) { return item.is_number_integer(); });
  if (!integers) return;
  const auto found = lines.find(dotted(pointer));
  if (found == lines.end()) return;
  const auto key_row = static_cast<std::size_t>(found->second) - 1;
  std::string flow;
  for (const Json& item : value) flow += (flow.empty() ? "[" : ", ") + item.dump();
  const std::size_t indent = rows[key_row].find_first_not_of(' ') + 2;
  std::string wrapped;
  add_wrapped(flow + "]", std::string(indent, ' '), wrapped);
  rows[key_row] += "\n" + wrapped.substr(0, wrapped.size() - 1);
  for (std::size_t i = 1; i <= value.size(); ++i) rows[key_row + i].clear();
}

}  // namespace

std::string commented_yaml(const Json& object, const std::vector<Comment>& comments) {
  const std::string text = to_yaml(object);
  const auto read =
      parse_yaml(text, "output");  // which line a field is on; nothing is too deep for it but jests
  const Lines lines = read && read->size() == 1 ? read->front().lines : Lines();
  std::vector<std::string> rows;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    rows.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::map<std::size_t, std::string> above;
  for (const Comment& comment : comments) {
    const auto row = static_cast<std::size_t>(line_of(lines, comment.at)) - 1;
    above[row] += text_of(comment, rows[row].find_first_not_of(' '));
  }
  std::vector<std::string> shortened = rows;
  shorten_lists(object, "", lines, shortened);
  std::string out;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    if (const auto comment = above.find(row); comment != above.end()) out += comment->second;
    if (shortened[row].empty() && !rows[row].empty()) continue;
    out += shortened[row] + "\n";
  }
  return out;
}

}  // namespace muster::cli
