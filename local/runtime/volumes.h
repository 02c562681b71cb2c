#pragma once  // local/runtime/volumes.h: the volumes of a pod as folders of this machine
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "common/base/result.h"
#include "common/json/fields.h"
#include "local/runtime/claim_locks.h"
#include "local/runtime/container_env.h"

namespace muster::local {

struct VolumesInput {
  const Json& pod;
  std::filesystem::path pod_folder;      // gone with the pod: emptyDir, configMap, secret, ... lie there
  std::filesystem::path volumes_folder;  // kept: <namespace>/<claim>
  std::int64_t node_cpu_milli = 0;       // what a resourceFieldRef says without a limit
  std::int64_t node_memory_milli = 0;
  ReadObject read;
  std::function<Result<std::string>()> token = {};  // of the pod's service account
  std::function<void(const Json& claim)> bound;     // called for a claim that is not Bound yet
  ClaimLocks& claims;                               // holds the folders of claims from here on
};

// Creates what is missing and says where each volume lies. Errors are in the words of a kubelet's FailedMount
// event and name the volume; trying again later may help.
[[nodiscard]] Result<std::map<std::string, std::filesystem::path>> prepare_volumes(const VolumesInput& input);

// The real path of `sub` in `volume`, made as a folder where it is missing. Links are followed, but not out
// of the volume: kInvalidArgument.
[[nodiscard]] Result<std::filesystem::path> place_inside(const std::filesystem::path& volume,
                                                         const std::filesystem::path& sub);

// A link to `folder` at `at`, in place of an earlier one.
[[nodiscard]] Result<std::filesystem::path> link_at(const std::filesystem::path& at,
                                                    const std::filesystem::path& folder);

}  // namespace muster::local
