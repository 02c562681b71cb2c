#pragma once  // common/platform/volume_map.h: where the volumes of a pod lie when it runs as a process
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace muster {

// Without a cluster volumes are folders of the machine. The node tells a container where by this variable, a
// JSON object of mount paths and folders: {"/data":"/real/folder"}. JSON, since a folder's name may hold any
// separator that a plain list could use.
inline constexpr const char* kVolumeMapVariable = "MUSTER_VOLUME_MAP";
using VolumeMap = std::map<std::string, std::string>;  // mount path ("/data") -> folder

[[nodiscard]] std::string volume_map_text(const VolumeMap& map);  // the paths are UTF-8
[[nodiscard]] Result<VolumeMap> parse_volume_map(std::string_view text);

// That of this process: empty without the variable. The error says what is wrong with it.
[[nodiscard]] Result<VolumeMap> volume_map_of_environment();

// The process's own path of a path in the manifest: inside the folder of the longest mount path that holds
// it, else the path itself.
[[nodiscard]] std::filesystem::path resolve_mount(const std::string& path, const VolumeMap& map);
// By the map of this process. What the variable cannot say is refused at the start (pod_environment()).
[[nodiscard]] std::filesystem::path resolve_mount(const std::string& path);

}  // namespace muster
