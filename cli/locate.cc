// cli/locate.cc: from a field path in a server's message to a line of the manifest
#include <fmt/format.h>

#include <cctype>

#include "cli/apply.h"

namespace muster::cli {
namespace {

bool part_of_path(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '[' || c == ']' || c == '_' ||
         c == '-';
}

// `path` as a whole word; a longer path that begins with it is another field.
bool names(const std::string& message, const std::string& path) {
  for (std::size_t at = message.find(path); at != std::string::npos; at = message.find(path, at + 1)) {
    const std::size_t end = at + path.size();
    const bool starts = at == 0 || !part_of_path(message[at - 1]);
    const bool ends = end == message.size() || !part_of_path(message[end]) ||
                      (message[end] == '.' && (end + 1 == message.size() || message[end + 1] == ' '));
    if (starts && ends) return true;
  }
  return false;
}

}  // namespace

std::string locate(const ManifestObject& object, const std::string& message) {
  std::string best;
  for (const auto& [path, line] : object.lines) {
    const bool deep = path.find('.') != std::string::npos;  // "spec" and "kind" are words of any sentence
    if (deep && path.size() > best.size() && names(message, path)) best = path;
  }
  return fmt::format("{}: {}", object.where(best.empty() ? "kind" : best), message);
}

}  // namespace muster::cli
