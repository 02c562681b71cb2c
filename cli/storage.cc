// cli/storage.cc: where on this machine a job's model lies, from the volumes of its pod template
#include "cli/storage.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/job_view.h"
#include "common/json/access.h"
#include "common/pods/pod_state.h"
#include "common/spec/paths.h"
#include "common/spec/pod_templates.h"

namespace muster::cli {
namespace {

// The container's mount that holds the path; null: none does.
const Json& find_mount(const Json& pod_spec, const char* role, const std::string& path) {
  const Json& containers = member(pod_spec, "containers");
  if (!containers.is_array() || containers.empty()) return member(Json(), "");
  const Json& mounts = member(containers[role_container(containers, role)], "volumeMounts");
  if (!mounts.is_array()) return member(Json(), "");
  std::vector<std::string> paths;
  paths.reserve(mounts.size());
  for (const Json& mount : mounts) paths.push_back(text(member(mount, "mountPath")));
  const auto found = spec::mount_of(path, paths);
  return found ? mounts[*found] : member(Json(), "");
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
  const spec::PodTemplatePlace& place = view.federated ? spec::kAggregatorTemplate : spec::kWorkerTemplate;
  const Json& pod_spec = member(spec::template_at(object, place), "spec");
  const Json& mount = find_mount(pod_spec, place.role, view.model_path);
  if (mount.is_null()) return {{}, fmt::format("{} is in no volume of its container", view.model_path)};
  const std::string expression = text(member(mount, "subPathExpr"));
  if (expression.find("$(") != std::string::npos) {
    return {.why = fmt::format(
                "{} is mounted by subPathExpr \"{}\", and where that leads is known to the pod alone; "
                "mount it by subPath, or without either",
                text(member(mount, "mountPath")), expression),
            .lost = true};
  }
  const std::filesystem::path sub = expression.empty() ? text(member(mount, "subPath")) : expression;
  if (sub.is_absolute() || std::ranges::find(sub, "..") != sub.end())
    return {.why = fmt::format(
                "subPath \"{}\" leads out of its volume; write one that is relative and without ..",
                sub.string()),
            .lost = true};
  const std::string rest =
      spec::behind(spec::normal_path(view.model_path), spec::mount_path(text(member(mount, "mountPath"))));
  const auto inside = [&](const std::filesystem::path& volume) {
    return ModelFolder{.path = spec::normal_path((volume / sub / rest).string())};
  };
  const std::string name = text(member(mount, "name"));
  const Json& volume = find_volume(pod_spec, name);
  if (const std::string claim = text(member(volume, "persistentVolumeClaim", "claimName")); !claim.empty())
    return inside(volumes / view.name_space / claim);
  if (const std::string host = text(member(volume, "hostPath", "path")); !host.empty()) return inside(host);
  return {{},
          fmt::format("volume '{}' ends with its pod; use a persistentVolumeClaim to keep the model", name)};
}

}  // namespace muster::cli
