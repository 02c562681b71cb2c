// operator/api/mounts.cc: the role container's volume mounts
#include "operator/api/mounts.h"

#include <fmt/format.h>

#include <set>

#include "common/json/access.h"
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

}  // namespace

std::vector<spec::Mount> mounts_of(const Json& pod_template, const std::string& role) {
  std::vector<spec::Mount> mounts;
  const Json& pod = member(pod_template, "spec");
  const Json& containers = member(pod, "containers");
  if (!containers.is_array() || containers.empty()) return mounts;
  const Json& list = member(containers[role_container(containers, role)], "volumeMounts");
  if (!list.is_array()) return mounts;
  const std::set<std::string> read_only = read_only_volumes(member(pod, "volumes"));
  for (const Json& mount : list) {
    const std::string path = text(member(mount, "mountPath"));
    const bool writable =
        !boolean(member(mount, "readOnly")) && !read_only.contains(text(member(mount, "name")));
    if (path.starts_with('/')) mounts.push_back({.path = path, .writable = writable});
  }
  return mounts;
}

std::vector<std::string> writable_mounts(const Json& pod_template, const std::string& role) {
  std::vector<std::string> paths;
  for (const spec::Mount& mount : mounts_of(pod_template, role))
    if (mount.writable) paths.push_back(spec::normal_path(mount.path));
  return paths;
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
