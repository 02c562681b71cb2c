// operator/api/mounts.cc: the role container's volume mounts
#include "operator/api/mounts.h"

#include <fmt/format.h>

#include <set>

#include "common/json/access.h"
#include "common/pods/pod_state.h"
#include "operator/api/pod_template.h"

namespace muster::op::api {
namespace {

std::set<std::string> read_only_volumes(const Json& volumes) {
  std::set<std::string> names;
  if (!volumes.is_array()) return names;
  for (const Json& volume : volumes) {
    bool read_only = boolean(member(volume, "persistentVolumeClaim", "readOnly"));
    for (const char* source : {"configMap", "secret", "downwardAPI", "projected"})
      read_only = read_only || member(volume, source).is_object();
    if (read_only) names.insert(text(member(volume, "name")));
  }
  return names;
}

const Json& list_of_mounts(const Json& pod_template, const std::string& role) {
  const Json& containers = member(pod_template, "spec", "containers");
  if (!containers.is_array() || containers.empty()) return member(Json(), "");
  return member(containers[role_container(containers, role)], "volumeMounts");
}

// Whether an expression has a variable that Muster does not put into every container.
bool needs_own_variables(const std::string& expression) {
  constexpr std::string_view kReference = "$(";
  constexpr std::string_view kOurs = "MUSTER_";
  for (auto at = expression.find(kReference); at != std::string::npos;
       at = expression.find(kReference, at + 1))
    if (expression.compare(at + kReference.size(), kOurs.size(), kOurs) != 0) return true;
  return false;
}

}  // namespace

std::vector<spec::Mount> mounts_of(const Json& pod_template, const std::string& role) {
  std::vector<spec::Mount> mounts;
  const Json& list = list_of_mounts(pod_template, role);
  if (!list.is_array()) return mounts;
  const std::set<std::string> read_only = read_only_volumes(member(pod_template, "spec", "volumes"));
  for (const Json& mount : list) {
    const std::string path = spec::mount_path(text(member(mount, "mountPath")));
    const bool writable =
        !boolean(member(mount, "readOnly")) && !read_only.contains(text(member(mount, "name")));
    mounts.push_back({.path = path, .writable = writable});
  }
  return mounts;
}

std::vector<std::string> writable_mounts(const Json& pod_template, const std::string& role) {
  std::vector<std::string> paths;
  for (const spec::Mount& mount : mounts_of(pod_template, role))
    if (mount.writable) paths.push_back(mount.path);
  return paths;
}

Status check_shared_storage(const std::string& path, const std::string& field, const Json& pod_template,
                            const std::string& role) {
  const Json& list = list_of_mounts(pod_template, role);
  if (!list.is_array()) return {};
  std::vector<std::string> paths;
  paths.reserve(list.size());
  for (const Json& mount : list) paths.push_back(text(member(mount, "mountPath")));
  const auto found = spec::mount_of(path, paths);
  if (!found || !needs_own_variables(text(member(list[*found], "subPathExpr")))) return {};
  return invalid_argument(fmt::format(
      "{}: \"{}\" is in {}, which is mounted by subPathExpr, whose variables Muster's worker beside the "
      "program has not; mount it by subPath, or use variables of Muster's alone",
      field, path, paths[*found]));
}

Status check_storage(const std::string& path, const std::string& field, const Json& pod_template,
                     const std::string& at, const std::string& role) {
  const std::string remedy = fmt::format(
      "add a volume to {} and mount it in container {} there, or name a folder of one that is mounted", at,
      role);
  MUSTER_TRY(spec::storage_mount(path, field, mounts_of(pod_template, role), remedy));
  return {};
}

}  // namespace muster::op::api
