#pragma once  // operator/api/mounts.h: what a pod template mounts where, and which paths of the spec fit it
#include <string>
#include <vector>

#include "common/json/fields.h"
#include "common/spec/paths.h"

namespace muster::op::api {

// Of the container that carries `role`. Not writable: readOnly mounts, and volumes that never can be written
// (configMap, secret, downwardAPI, projected, a claim that is mounted readOnly).
[[nodiscard]] std::vector<spec::Mount> mounts_of(const Json& pod_template, const std::string& role);
[[nodiscard]] std::vector<std::string> writable_mounts(const Json& pod_template, const std::string& role);

// That the mount of that folder is the same in a container with none of the role's own variables: by no
// subPathExpr that has others than Muster's, which every container has.
[[nodiscard]] Status check_shared_storage(const std::string& path, const std::string& field,
                                          const Json& pod_template, const std::string& role);

// That the folder at `path` lies in a writable volume of the template, which stands at `at` in the object.
[[nodiscard]] Status check_storage(const std::string& path, const std::string& field,
                                   const Json& pod_template, const std::string& at, const std::string& role);

}  // namespace muster::op::api
