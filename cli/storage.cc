// cli/storage.cc: where on this machine a job's model lies, from the volumes of its pod template
#include "cli/storage.h"

#include <fmt/format.h>

#include "cli/job_view.h"

namespace muster::cli {
namespace {

const Json& child(const Json& object, const char* name) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto at = object.find(name);
  return at == object.end() ? kNothing : *at;
}

std::string text(const Json& object, const char* name) {
  const Json& value = child(object, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

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
  const Json& containers = child(pod_spec, "containers");
  if (!containers.is_array() || containers.empty()) return containers;
  for (const Json& container : containers) {
    if (text(container, "name") == role) return container;
  }
  return containers.front();
}

Mount find_mount(const Json& container, const std::string& path) {
  Mount best;
  const Json& mounts = child(container, "volumeMounts");
  if (!mounts.is_array()) return best;
  for (const Json& mount : mounts) {
    const std::string at = text(mount, "mountPath");
    const auto rest = below(path, at);
    if (!rest || at.size() < best.length) continue;
    best = {text(mount, "name"), std::filesystem::path(text(mount, "subPath")) / *rest, at.size()};
  }
  return best;
}

const Json& find_volume(const Json& pod_spec, const std::string& name) {
  const Json& volumes = child(pod_spec, "volumes");
  if (volumes.is_array()) {
    for (const Json& volume : volumes) {
      if (text(volume, "name") == name) return volume;
    }
  }
  return child(Json(), "");
}

// A path that a manifest wrote may not lead out of its volume.
bool stays_inside(const std::filesystem::path& rest) {
  const auto normal = rest.lexically_normal();
  return normal.is_relative() && (normal.empty() || *normal.begin() != "..");
}

}  // namespace

ModelFolder find_model_folder(const Json& object, const std::filesystem::path& volumes) {
  const JobView view = view_job(object);
  const Json& spec = child(object, "spec");
  if (view.model_path.empty()) {
    if (!view.federated && !child(spec, "training").is_object())
      return {{}, "its program keeps its own files"};
    return {{},
            fmt::format("the manifest asks for none; set {} to keep it",
                        view.federated ? "spec.aggregator.storage.path" : "spec.training.checkpoint.path")};
  }
  const Json& owner = child(spec, view.federated ? "aggregator" : "workers");
  const Json& pod_spec = child(child(owner, "template"), "spec");
  const Mount mount =
      find_mount(container_of(pod_spec, view.federated ? "aggregator" : "worker"), view.model_path);
  if (mount.volume.empty()) return {std::filesystem::path(view.model_path), ""};
  if (!stays_inside(mount.rest)) return {{}, fmt::format("{} leads out of its volume", view.model_path)};
  const Json& volume = find_volume(pod_spec, mount.volume);
  if (const std::string claim = text(child(volume, "persistentVolumeClaim"), "claimName"); !claim.empty()) {
    return {volumes / view.name_space / claim / mount.rest, ""};
  }
  if (const std::string host = text(child(volume, "hostPath"), "path"); !host.empty()) {
    return {std::filesystem::path(host) / mount.rest, ""};
  }
  return {{},
          fmt::format("volume '{}' ends with its pod; use a persistentVolumeClaim to keep the model",
                      mount.volume)};
}

}  // namespace muster::cli
