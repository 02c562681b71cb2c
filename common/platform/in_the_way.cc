// common/platform/in_the_way.cc: why a folder cannot be at a path
#include "common/platform/in_the_way.h"

#include <fmt/format.h>

#include <system_error>

namespace muster {
namespace {

namespace fs = std::filesystem;

std::string told_of_link(const fs::path& link) {
  std::error_code error;
  if (fs::exists(link, error)) return "";
  if (error == std::errc::too_many_symbolic_link_levels)
    return fmt::format("{} is a link that leads back to itself", link.string());
  std::error_code unreadable;
  return fmt::format("{} is a link to {}, which does not exist", link.string(),
                     fs::read_symlink(link, unreadable).string());
}

}  // namespace

std::string in_the_way(const fs::path& path) {
  std::error_code error;
  for (auto part = path; !part.empty(); part = part.parent_path()) {
    const auto entry = fs::symlink_status(part, error);
    if (fs::is_symlink(entry)) {
      if (std::string told = told_of_link(part); !told.empty()) return told;
    }
    if (fs::exists(entry) && !fs::is_directory(part, error)) return part.string() + " is a file";
    if (part == part.parent_path()) break;
  }
  return "";
}

}  // namespace muster
