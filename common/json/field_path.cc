// common/json/field_path.cc: the field paths that a sentence names
#include "common/json/field_path.h"

#include <cctype>

namespace muster {
namespace {

bool goes_on(char before) {  // the path began earlier
  return std::isalnum(static_cast<unsigned char>(before)) != 0 || before == '.' || before == '_' ||
         before == ']' || before == '/' || before == '-';
}

}  // namespace

std::string in_part(std::string_view message, std::string_view part) {
  std::string out;
  for (std::size_t i = 0; i < message.size(); ++i) {
    const std::string_view rest = message.substr(i);
    const bool begins = i == 0 || !goes_on(message[i - 1]);
    if (begins && (rest.starts_with("spec.") || rest.starts_with("metadata.")))
      out += std::string(part) + ".";
    out += message[i];
  }
  return out;
}

}  // namespace muster
