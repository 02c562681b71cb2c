// operator/api/pod_template.cc: what Muster can say of a PodTemplateSpec before the API server sees the pod
#include "operator/api/pod_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "common/base/quantity.h"
#include "common/json/access.h"
#include "common/pods/pod_state.h"
#include "common/spec/paths.h"
#include "pod/pod_contract.h"

namespace muster::op::api {
namespace {

constexpr std::array<std::string_view, 9> kMusterNames{
    kPodNameVariable,     kPodUidVariable, kPodIpVariable, kJobNameVariable, kJobUidVariable,
    kIncarnationVariable, kRoleVariable,   kIndexVariable, kSocketVariable};
constexpr std::array<std::string_view, 12> kRendezvousNames{
    "MASTER_ADDR",      "MASTER_PORT",    "RANK",       "WORLD_SIZE",         "LOCAL_RANK",
    "LOCAL_WORLD_SIZE", "NODE_RANK",      "PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK",
    "PET_MASTER_ADDR",  "PET_MASTER_PORT"};

const char* remedy_for(std::string_view name) {
  if (name.ends_with("MASTER_PORT")) return "remove it, or set spec.workers.masterPort instead";
  if (name == "LOCAL_WORLD_SIZE" || name == "WORLD_SIZE" || name == "PET_NPROC_PER_NODE")
    return "remove it, or set spec.workers.processesPerNode instead";
  return "remove it";
}

// All that an ObjectMeta may have. Of a template labels, annotations and finalizers reach the pods, as with a
// batch/v1 Job; the rest is of no meaning there and passed over.
constexpr std::array<const char*, 15> kMetadataFields{"labels",
                                                      "annotations",
                                                      "finalizers",
                                                      "name",
                                                      "generateName",
                                                      "namespace",
                                                      "uid",
                                                      "resourceVersion",
                                                      "generation",
                                                      "creationTimestamp",
                                                      "selfLink",
                                                      "ownerReferences",
                                                      "managedFields",
                                                      "deletionTimestamp",
                                                      "deletionGracePeriodSeconds"};

Status validate_env(const Json& container, const std::string& path, const TemplateUse& use) {
  const Json& env = member(container, "env");
  for (std::size_t i = 0; i < env.size(); ++i) {
    const Json& variable = env[i];
    const std::string at = fmt::format("{}.env[{}]", path, i);
    if (!variable.is_object() || !variable.contains("name") || !variable["name"].is_string())
      return invalid_argument(at + ".name: required field is missing");
    if (const auto name = variable["name"].get<std::string>(); is_reserved_env(name, use.image_is_ours))
      return invalid_argument(fmt::format("{}.name: {} is set by Muster; {}", at, name, remedy_for(name)));
  }
  return {};
}

// "/var/run" is a link to "/run" in most images.
std::string plain_folder(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path.starts_with("/run/") ? "/var" + path : path;
}

// What the operator completes or adds to must be of the shape that the API server asks for, too.
Status expect_shapes(const Json& parent, const std::string& path, std::initializer_list<const char*> objects,
                     std::initializer_list<const char*> lists) {
  for (const char* name : objects)
    if (const Json& value = member(parent, name); !value.is_null() && !value.is_object())
      return invalid_argument(fmt::format("{}.{}: must be an object, is {}", path, name, value.type_name()));
  for (const char* name : lists)
    if (const Json& value = member(parent, name); !value.is_null() && !value.is_array())
      return invalid_argument(fmt::format("{}.{}: must be a list, is {}", path, name, value.type_name()));
  return {};
}

Status validate_shapes(const Json& spec, const std::string& path) {
  MUSTER_TRY(expect_shapes(spec, path, {"securityContext", "affinity"},
                           {"volumes", "initContainers", "containers"}));
  const Json& affinity = member(spec, "affinity");
  MUSTER_TRY(expect_shapes(affinity, path + ".affinity", {"podAffinity"}, {}));
  return expect_shapes(member(affinity, "podAffinity"), path + ".affinity.podAffinity", {},
                       {"requiredDuringSchedulingIgnoredDuringExecution"});
}

Status validate_mounts(const Json& container, const std::string& path, const TemplateUse& use) {
  const Json& mounts = member(container, "volumeMounts");
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    const Json& mount = mounts[i];
    const std::string at = fmt::format("{}.volumeMounts[{}]", path, i);
    if (text_at(mount, "name") == kCredentialsVolume) {
      return invalid_argument(
          fmt::format("{}.name: {} is the volume of the pod's keys, which Muster mounts; "
                      "remove it",
                      at, kCredentialsVolume));
    }
    const std::string folder = plain_folder(text_at(mount, "mountPath"));
    if (use.beside_program &&
        (text_at(mount, "name") == kSocketVolume || spec::is_inside(folder, kSocketFolder)))
      return invalid_argument(fmt::format(
          "{}: {} is where Muster mounts the worker's socket; remove the mount", at, kSocketFolder));
    if (use.in_place && (text_at(mount, "name") == kExecVolume || spec::is_inside(folder, kExecFolder)))
      return invalid_argument(
          fmt::format("{}: {} is where Muster mounts {}; remove the mount, or choose another path for it", at,
                      kExecFolder, kExecProgram));
    if (spec::is_inside(folder, kCredentialsFolder)) {
      return invalid_argument(fmt::format(
          "{}.mountPath: {} is where Muster mounts the pod's keys; choose another", at, kCredentialsFolder));
    }
  }
  return {};
}

Status validate_volumes(const Json& spec, const std::string& path, const TemplateUse& use) {
  const Json& volumes = member(spec, "volumes");
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    const std::string name = text_at(volumes[i], "name");
    const bool of_keys = (use.image_is_ours || use.in_place) && name == kCredentialsVolume;
    const bool of_socket = use.beside_program && name == kSocketVolume;
    const bool of_exec = use.in_place && name == kExecVolume;
    if (!of_keys && !of_socket && !of_exec && name != kSharedMemoryVolume) continue;
    return invalid_argument(fmt::format(
        "{}.volumes[{}].name: {} is the volume of {}, which Muster adds; choose another", path, i, name,
        of_keys     ? "the pod's keys"
        : of_socket ? "the worker's socket"
        : of_exec   ? kExecProgram
                    : "/dev/shm"));
  }
  return {};
}

// What an image starts by itself the API server does not tell, and a container beside cannot see.
Status validate_command(const Json& container, const std::string& path) {
  const Json& command = member(container, "command");
  const bool words = command.is_array() && !command.empty() &&
                     std::ranges::all_of(command, [](const Json& word) { return word.is_string(); }) &&
                     !text(command.front()).empty();
  constexpr std::pair<const char*, const char*> kKillers[] = {
      {"livenessProbe", nullptr}, {"startupProbe", nullptr}, {"lifecycle", "postStart"}};
  for (const auto& [name, inner] : kKillers) {
    const Json& found = inner == nullptr ? member(container, name) : member(container, name, inner);
    if (found.is_null()) continue;
    return invalid_argument(fmt::format(
        "{}.{}{}{}: with runPolicy.restart InPlace a container goes on while its command waits for the "
        "others, and this would have it killed; remove it, or runPolicy.restart",
        path, name, inner == nullptr ? "" : ".", inner == nullptr ? "" : inner));
  }
  if (words) return {};
  return invalid_argument(
      path +
      ".command: required with runPolicy.restart InPlace, by which Muster starts the command itself; write "
      "the "
      "entry point of the image, such as [torchrun, train.py], or remove runPolicy.restart");
}

Status validate_containers(const Json& spec, const char* list, const std::string& path,
                           const TemplateUse& use) {
  const Json& found = member(spec, list);
  const bool main_list = std::string_view(list) == "containers";
  const std::size_t role_index = main_list && !found.empty() ? role_container(found, use.role) : found.size();
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::string at = fmt::format("{}.{}[{}]", path, list, i);
    const Json& container = found[i];
    if (!container.is_object())
      return invalid_argument(fmt::format("{}: must be an object, is {}", at, container.type_name()));
    MUSTER_TRY(expect_shapes(container, at, {"securityContext"}, {"env", "volumeMounts"}));
    if (i == role_index && text(member(container, "restartPolicy"), "Never") != "Never")
      return invalid_argument(at + ".restartPolicy: must be Never, Muster does the restarts; remove it");
    const bool completed = i == role_index && use.image_is_ours && !use.beside_program;
    if (use.beside_program && text(member(container, "name")) == kProgramSidecar)
      return invalid_argument(
          fmt::format("{}.name: {} is the container of Muster's worker, which is added; choose another", at,
                      kProgramSidecar));
    if (const Json& image = member(container, "image"); !image.is_null() && !image.is_string())
      return invalid_argument(fmt::format("{}.image: must be a string, is {}; quote it", at, image.dump()));
    if (use.in_place && !main_list && text(member(container, "name")) == kExecProgram)
      return invalid_argument(
          fmt::format("{}.name: {} is the container that Muster adds; choose another", at, kExecProgram));
    if (!completed && text(member(container, "image")).empty())
      return invalid_argument(at + ".image: required field is missing");
    MUSTER_TRY(validate_env(container, at, use));
    MUSTER_TRY(validate_quantities(container, at));
    if (use.image_is_ours || use.in_place) MUSTER_TRY(validate_mounts(container, at, use));
    if (use.in_place && i == role_index) MUSTER_TRY(validate_command(container, at));
  }
  return {};
}

}  // namespace

Status validate_quantities(const Json& container, const std::string& path) {
  for (const char* list : {"limits", "requests"}) {
    const Json& amounts = member(container, "resources", list);
    if (!amounts.is_object()) continue;
    for (const auto& [name, value] : amounts.items())
      if (!parse_quantity(value.is_string() ? value.get<std::string>() : value.dump()) && !value.is_null())
        return invalid_argument(
            fmt::format("{}.resources.{}.{}: must be a quantity such as 2, 500m or 8Gi, is {}", path, list,
                        name, value.dump()));
  }
  return {};
}

bool is_reserved_env(const std::string& name, bool image_is_ours) {
  if (std::find(kMusterNames.begin(), kMusterNames.end(), name) != kMusterNames.end()) return true;
  return !image_is_ours &&
         std::find(kRendezvousNames.begin(), kRendezvousNames.end(), name) != kRendezvousNames.end();
}

Status validate_pod_template(const Json& pod_template, const std::string& path, const TemplateUse& use) {
  const bool brings_program = !use.image_is_ours || use.beside_program;
  if (pod_template.is_null()) {
    if (!brings_program) return {};
    return invalid_argument(
        path +
        ": required field is missing; its containers bring the program, unless spec.training has a model");
  }
  Json metadata = Json::object();
  Json spec = Json::object();
  MUSTER_TRY(Fields(pod_template, path).raw("metadata", metadata).raw("spec", spec).finish());
  if (!spec.is_object())
    return invalid_argument(fmt::format("{}.spec: must be an object, is {}", path, spec.type_name()));
  MUSTER_TRY(validate_shapes(spec, path + ".spec"));
  Fields fields(metadata, path + ".metadata");
  for (const char* name : kMetadataFields) fields.ignore(name);
  MUSTER_TRY(fields.finish());
  for (const char* name : {"labels", "annotations"}) {
    const auto map = metadata.find(name);
    if (map == metadata.end() || map->is_null()) continue;
    if (!map->is_object())
      return invalid_argument(
          fmt::format("{}.metadata.{}: must be an object, is {}", path, name, map->type_name()));
    for (const auto& item : map->items()) {
      if (!item.value().is_string())
        return invalid_argument(fmt::format("{}.metadata.{}.{}: must be a string, is {}", path, name,
                                            item.key(), item.value().dump()));
      if (item.key().starts_with("muster.dev/"))
        return invalid_argument(
            fmt::format("{}.metadata.{}: {} is set by Muster; remove it", path, name, item.key()));
    }
  }
  for (const char* name : {"hostname", "subdomain"}) {
    if (!member(spec, name).is_null())
      return invalid_argument(fmt::format("{}.spec.{}: set by Muster; remove it", path, name));
  }
  if (const Json& policy = member(spec, "restartPolicy"); !policy.is_null() && policy != "Never")
    return invalid_argument(path + ".spec.restartPolicy: must be Never, Muster does the restarts; remove it");
  // Whoever sees the worker's process reads its keys there.
  if (use.beside_program && member(spec, "shareProcessNamespace") == true)
    return invalid_argument(
        path + ".spec.shareProcessNamespace: would show the pod's keys to the program; remove it");
  const Json& containers = member(spec, "containers");
  const bool none = containers.is_null() || (containers.is_array() && containers.empty());
  if (none && brings_program)
    return invalid_argument(path +
                            ".spec.containers: at least one is needed, unless spec.training has a model");
  MUSTER_TRY(validate_volumes(spec, path + ".spec", use));
  MUSTER_TRY(validate_containers(spec, "initContainers", path + ".spec", use));
  return validate_containers(spec, "containers", path + ".spec", use);
}

}  // namespace muster::op::api
