#pragma once  // local/runtime/volumes.h: the volumes of a pod as folders of this machine
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "common/base/result.h"
#include "common/json/fields.h"
#include "local/runtime/container_env.h"

namespace muster::local {

struct VolumesInput {
  const Json& pod;
  std::filesystem::path pod_folder;      // gone with the pod: emptyDir, configMap, secret, ... lie there
  std::filesystem::path volumes_folder;  // kept: <namespace>/<claim>
  ReadObject read;
  std::function<void(const Json& claim)> bound;  // called for a claim that is not Bound yet
};

// Creates what is missing and says where each volume lies. Errors are in the words of a kubelet's FailedMount
// event and name the volume; trying again later may help.
[[nodiscard]] Result<std::map<std::string, std::filesystem::path>> prepare_volumes(const VolumesInput& input);

}  // namespace muster::local
