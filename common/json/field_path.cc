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
  // Go's decoder puts the innermost type before the whole path: "Go struct field
  // Container.spec.containers.env".
  constexpr std::string_view kGoField = "Go struct field ";
  std::string out;
  std::size_t go_path = std::string_view::npos;  // where such a path begins
  for (std::size_t i = 0; i < message.size(); ++i) {
    const std::string_view rest = message.substr(i);
    if (rest.starts_with(kGoField)) go_path = message.find('.', i) + 1;
    const bool begins = i == 0 || i == go_path || !goes_on(message[i - 1]);
    if (begins && (rest.starts_with("spec.") || rest.starts_with("metadata.")))
      out += std::string(part) + ".";
    out += message[i];
  }
  return out;
}

}  // namespace muster
