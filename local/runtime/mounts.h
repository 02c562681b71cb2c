#pragma once  // local/runtime/mounts.h: the paths of a manifest as this machine's paths
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"
#include "common/platform/volume_map.h"
#include "local/runtime/container_env.h"

namespace muster::local {

struct Mount {
  std::string at;                  // in the manifest: "/data", no slash at its end
  std::filesystem::path folder;    // here; may be a file (hostPath, subPath)
  std::filesystem::path sub = {};  // what of `folder`, still to be found by place_inside(); empty: all of it
};

// The mounts of a container, longest path first, each with its volume as the folder. `volumes`: where each
// volume of the pod lies; `variables` expand subPathExpr. kInvalidArgument: a volume that the pod lacks, or a
// subPath that leaves its volume.
[[nodiscard]] Result<std::vector<Mount>> container_mounts(
    const Json& container, const std::map<std::string, std::filesystem::path>& volumes,
    const Variables& variables);

// Replaces every mount path that stands as a path of its own or in front of "/": in "--in=/data/x",
// "-o/data", "cat /data;" and "file:///data/x", not in "/mydata", "/database", "~/data", "$HOME/data" or
// "http://host/data". One pass: what was replaced is not read again.
[[nodiscard]] std::string rewrite_paths(std::string_view source, const std::vector<Mount>& mounts);

// For resolve_mount() of the programs in the pod.
[[nodiscard]] VolumeMap volume_map(const std::vector<Mount>& mounts);

// True if `path` may stand unquoted in a shell's words, in lists like PATH, in URLs and in JSON. Any other
// folder is reached through a link that may.
[[nodiscard]] bool stands_anywhere(const std::filesystem::path& path);

// True if `path` stays where it is put: relative, and no ".." in it.
[[nodiscard]] bool stays_inside(const std::filesystem::path& path);

}  // namespace muster::local
