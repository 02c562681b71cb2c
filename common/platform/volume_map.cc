// common/platform/volume_map.cc: the volume map as JSON, and paths of the manifest resolved by it
#include "common/platform/volume_map.h"

#include <fmt/format.h>

#include <cstdlib>

#include "common/json/read_json.h"

namespace muster {
namespace {

Error malformed() {
  return failed_precondition(fmt::format(
      "environment variable {} is not a JSON object of mount paths and folders, as in "
      "{{\"/data\":\"/real/folder\"}}; correct it, or leave it to `muster run` and `muster local up`",
      kVolumeMapVariable));
}

}  // namespace

std::string volume_map_text(const VolumeMap& map) {
  return Json(map).dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<VolumeMap> parse_volume_map(std::string_view text) {
  const Json read = read_json(text);
  if (!read.is_object()) return malformed();
  VolumeMap map;
  for (const auto& [mount, folder] : read.items()) {
    if (!mount.starts_with('/') || !folder.is_string()) return malformed();
    map.emplace(mount, folder.get<std::string>());
  }
  return map;
}

Result<VolumeMap> volume_map_of_environment() {
  const char* text = std::getenv(kVolumeMapVariable);
  if (text == nullptr || *text == '\0') return VolumeMap();
  return parse_volume_map(text);
}

std::filesystem::path resolve_mount(const std::string& path, const VolumeMap& map) {
  const std::string wanted = std::filesystem::path(path).lexically_normal().string();
  const std::pair<const std::string, std::string>* best = nullptr;
  for (const auto& entry : map) {
    const std::string& mount = entry.first;
    const bool inside =
        wanted.starts_with(mount) && (wanted.size() == mount.size() || wanted[mount.size()] == '/');
    if (inside && (best == nullptr || mount.size() > best->first.size())) best = &entry;
  }
  return best == nullptr ? path : best->second + wanted.substr(best->first.size());
}

std::filesystem::path resolve_mount(const std::string& path) {
  return resolve_mount(path, volume_map_of_environment().value_or(VolumeMap()));
}

}  // namespace muster
