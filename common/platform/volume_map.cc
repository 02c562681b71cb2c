// common/platform/volume_map.cc: the volume map as JSON, and paths of the manifest resolved by it
#include "common/platform/volume_map.h"

#include <fmt/format.h>

#include <cstdlib>
#include <vector>

#include "common/json/read_json.h"
#include "common/spec/paths.h"

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
  std::vector<std::string> mounts;
  mounts.reserve(map.size());
  for (const auto& [mount, folder] : map) mounts.push_back(mount);
  const auto found = spec::mount_of(path, mounts);
  if (!found) return path;
  const std::string& mount = mounts[*found];
  const std::string rest = spec::behind(spec::normal_path(path), spec::mount_path(mount));
  const std::filesystem::path folder = map.at(mount);
  return rest.empty() ? folder : folder / rest;
}

std::filesystem::path resolve_mount(const std::string& path) {
  return resolve_mount(path, volume_map_of_environment().value_or(VolumeMap()));
}

}  // namespace muster
