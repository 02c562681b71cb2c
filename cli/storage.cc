// cli/storage.cc: where on this machine a job's model lies, from the volumes of its pod template
#include "cli/storage.h"

#include <fmt/format.h>

#include "cli/job_view.h"
#include "common/json/access.h"

namespace muster::cli {
namespace {

// What follows `mount` in `path`, if path lies in it: "/a" in "/a/b" -> "b".
std::optional<std::string> below(const std::string& path, std::string mount) {
  while (mount.size() > 1 && mount.back() == '/') mount.pop_back();
  if (mount.empty() || !path.starts_with(mount)) return std::nullopt;
  if (path.size() == mount.size()) return std::string();
  if (mount == "/") return path.substr(1);
  return path[mount.size()] == '/' ? std::optional(path.substr(mount.size() + 1)) : std::nullopt;
}

struct Mount {
  std::string volume;
  std::filesystem::path rest;
  std::size_t length = 0;
};

// The container that runs our program: the one named after the role, else the first.
const Json& container_of(const Json& pod_spec, const char* role) {
  const Json& containers = member(pod_spec, "containers");
  if (!containers.is_array() || containers.empty()) return containers;
  for (const Json& container : containers) {
    if (text(member(container, "name")) == role) return container;
  }
  return containers.front();
}

Mount find_mount(const Json& container, const std::string& path) {
  Mount best;
  const Json& mounts = member(container, "volumeMounts");
  if (!mounts.is_array()) return best;
  for (const Json& mount : mounts) {
    const std::string at = text(member(mount, "mountPath"));
    const auto rest = below(path, at);
    if (!rest || at.size() < best.length) continue;
    best = {text(member(mount, "name")), std::filesystem::path(text(member(mount, "subPath"))) / *rest,
            at.size()};
  }
  return best;
}

const Json& find_volume(const Json& pod_spec, const std::string& name) {
  const Json& volumes = member(pod_spec, "volumes");
  if (volumes.is_array()) {
    for (const Json& volume : volumes) {
      if (text(member(volume, "name")) == name) return volume;
    }
  }
  return member(Json(), "");
}

// A path that a manifest wrote may not lead out of its volume.
bool stays_inside(const std::filesystem::path& rest) {
  const auto normal = rest.lexically_normal();
  return normal.is_relative() && (normal.empty() || *normal.begin() != "..");
}

}  // namespace

ModelFolder find_model_folder(const Json& object, const std::filesystem::path& volumes) {
  const JobView view = view_job(object);
  const Json& spec = member(object, "spec");
  if (view.model_path.empty()) {
    if (!view.federated && !member(spec, "training").is_object())
      return {{}, "its program keeps its own files"};
    return {{},
            fmt::format("the manifest asks for none; set {} to keep it",
                        view.federated ? "spec.aggregator.storage.path" : "spec.training.checkpoint.path")};
  }
  const Json& owner = member(spec, view.federated ? "aggregator" : "workers");
  const Json& pod_spec = member(owner, "template", "spec");
  const Mount mount =
      find_mount(container_of(pod_spec, view.federated ? "aggregator" : "worker"), view.model_path);
  if (mount.volume.empty()) return {std::filesystem::path(view.model_path), ""};
  if (!stays_inside(mount.rest)) return {{}, fmt::format("{} leads out of its volume", view.model_path)};
  const Json& volume = find_volume(pod_spec, mount.volume);
  if (const std::string claim = text(member(volume, "persistentVolumeClaim", "claimName")); !claim.empty()) {
    return {volumes / view.name_space / claim / mount.rest, ""};
  }
  if (const std::string host = text(member(volume, "hostPath", "path")); !host.empty()) {
    return {std::filesystem::path(host) / mount.rest, ""};
  }
  return {{},
          fmt::format("volume '{}' ends with its pod; use a persistentVolumeClaim to keep the model",
                      mount.volume)};
}

}  // namespace muster::cli
