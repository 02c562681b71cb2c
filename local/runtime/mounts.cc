// local/runtime/mounts.cc: mount paths of containers and their rewriting
#include "local/runtime/mounts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "local/runtime/json_access.h"

namespace muster::local {
namespace {

namespace fs = std::filesystem;

// May `c` be part of the path that ends, or of the word that begins, here?
bool in_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
}

bool begins_path(std::string_view source, std::size_t at) {
  return at == 0 || !(in_name(source[at - 1]) || source[at - 1] == '/' || source[at - 1] == '}');
}

bool ends_mount(std::string_view source, std::size_t at) {
  return at == source.size() || source[at] == '/' || !in_name(source[at]);
}

}  // namespace

bool stays_inside(const std::filesystem::path& path) {
  return !path.is_absolute() && std::ranges::none_of(path, [](const auto& part) { return part == ".."; });
}

Result<std::vector<Mount>> container_mounts(const Json& container,
                                            const std::map<std::string, std::filesystem::path>& volumes,
                                            const Variables& variables) {
  std::vector<Mount> out;
  for (const Json& mount : member(container, "volumeMounts")) {
    const std::string name = text(member(mount, "name"));
    const auto volume = volumes.find(name);
    if (volume == volumes.end()) {
      return invalid_argument(
          fmt::format("volumeMounts of container \"{}\": volume \"{}\" is not among spec.volumes",
                      text(member(container, "name")), name));
    }
    std::string at = (fs::path("/") / text(member(mount, "mountPath"))).lexically_normal().string();
    while (at.size() > 1 && at.ends_with('/')) at.pop_back();
    const std::string sub = member(mount, "subPathExpr").is_string()
                                ? expand_references(text(member(mount, "subPathExpr")), variables)
                                : text(member(mount, "subPath"));
    if (!stays_inside(sub)) {
      return invalid_argument(
          fmt::format("subPath \"{}\" of volume \"{}\" must be relative and without \"..\"", sub, name));
    }
    out.push_back({.at = at, .folder = volume->second, .sub = sub});
  }
  std::ranges::stable_sort(out, [](const Mount& a, const Mount& b) { return a.at.size() > b.at.size(); });
  return out;
}

std::string rewrite_paths(std::string_view source, const std::vector<Mount>& mounts) {
  std::string out;
  for (std::size_t i = 0; i < source.size();) {
    const Mount* hit = nullptr;
    if (source[i] == '/' && begins_path(source, i)) {
      for (const Mount& mount : mounts) {
        if (mount.at != "/" && source.substr(i).starts_with(mount.at) &&
            ends_mount(source, i + mount.at.size())) {
          hit = &mount;
          break;
        }
      }
    }
    if (hit != nullptr) {
      out += hit->folder.string();
      i += hit->at.size();
    } else {
      out += source[i++];
    }
  }
  return out;
}

std::string volume_map(const std::vector<Mount>& mounts) {
  std::string out;
  for (const Mount& mount : mounts) {
    if (!out.empty()) out += ':';
    out += mount.at + "=" + mount.folder.string();
  }
  return out;
}

}  // namespace muster::local
