// operator/core/pod_plan.cc: the manifests of an object's children: one headless Service, its pods
#include "operator/core/pod_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/quantity.h"
#include "common/json/access.h"
#include "common/pods/pod_state.h"
#include "common/spec/paths.h"
#include "operator/api/mounts.h"
#include "operator/api/pod_template.h"
#include "operator/core/credentials.h"
#include "operator/core/incarnation_image.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

constexpr std::pair<const char*, int> kPorts[] = {
    {"control", kControlPort}, {"data", kDataPort}, {"metrics", kMetricsPort}};
constexpr const char* kSharedMemoryFolder = "/dev/shm";
constexpr int kCredentialsMode = 0440;  // for the pod's group: its user is not known here
// Of a token, where the pod names no group: nobody but the container's own processes sees the mount.
constexpr int kTokenMode = 0444;
constexpr std::int64_t kProcessesMax = 1024;  // of one node, as the CRD says
constexpr const char* kSocketVolumeSize =
    "1Mi";                               // it holds a name; parameters lie in memory of the two processes
constexpr std::int64_t kNobody = 65532;  // the user of Muster's images

void set_default(Json& object, const char* name, Json value) {
  if (!object.contains(name) || object[name].is_null()) object[name] = std::move(value);
}

Json& child_object(Json& object, const char* name) {
  set_default(object, name, Json::object());
  return object[name];
}

Json owner_references(const api::ObjectMeta& owner, const std::string& kind) {
  return Json::array({{{"apiVersion", api::kGroupVersion},
                       {"kind", kind},
                       {"name", owner.name},
                       {"uid", owner.uid},
                       {"controller", true},
                       {"blockOwnerDeletion", true}}});
}

Json object_labels(const api::ObjectMeta& owner, const std::string& kind) {
  return {{kManagedByLabel, kManagedBy},
          {kJobNameLabel, owner.name},
          {kJobUidLabel, owner.uid},
          {kJobKindLabel, kind}};
}

Json variable(const char* name, std::string value) { return {{"name", name}, {"value", std::move(value)}}; }

Json field_variable(const char* name, const char* path) {
  return {{"name", name}, {"valueFrom", {{"fieldRef", {{"fieldPath", path}}}}}};
}

// What the container asks for of nvidia.com/gpu, amd.com/gpu and their like; parts of one
// ("nvidia.com/mig-...") are counted by whoever shares them.
std::int64_t gpus_of(const Json& container) {
  const Json& limits = member(container, "resources", "limits");
  if (!limits.is_object()) return 0;
  long double count = 0;
  for (const auto& [name, value] : limits.items()) {
    if (!name.ends_with("/gpu")) continue;
    const auto quantity = parse_quantity(value.is_string() ? value.get<std::string>() : value.dump());
    if (quantity && quantity->value > 0) count += quantity->value;
  }
  return static_cast<std::int64_t>(std::min<long double>(count, kProcessesMax));
}

// `gpus`: of the container that carries the role.
Json environment(const PodPlan& plan, std::int64_t gpus) {
  Json env = Json::array(
      {field_variable(kPodNameVariable, "metadata.name"), field_variable(kPodUidVariable, "metadata.uid"),
       field_variable(kPodIpVariable, "status.podIP"), variable(kJobNameVariable, plan.owner.name),
       variable(kJobUidVariable, plan.owner.uid),
       variable(kIncarnationVariable, std::to_string(plan.incarnation)), variable(kRoleVariable, plan.role),
       variable(kIndexVariable, std::to_string(plan.index))});
  if (plan.image_is_ours) return env;
  const std::string master = pod_name(plan.owner.name, plan.role, 0) + "." + plan.owner.name;
  const std::string port = std::to_string(plan.rendezvous.master_port);
  const std::string node = std::to_string(plan.index);
  const std::string nodes = std::to_string(plan.world_size);
  const std::int64_t per_node = plan.rendezvous.processes_per_node.value_or(std::max<std::int64_t>(gpus, 1));
  const std::string processes = std::to_string(per_node);
  for (auto& [name, value] : std::vector<std::pair<const char*, std::string>>{
           {"MASTER_ADDR", master},
           {"MASTER_PORT", port},
           {"RANK", std::to_string(plan.index * per_node)},
           {"WORLD_SIZE", std::to_string(plan.world_size * per_node)},
           {"LOCAL_RANK", "0"},
           {"LOCAL_WORLD_SIZE", processes},
           {"NODE_RANK", node},
           {"PET_NNODES", nodes},
           {"PET_NPROC_PER_NODE", processes},
           {"PET_NODE_RANK", node},
           {"PET_MASTER_ADDR", master},
           {"PET_MASTER_PORT", port}})
    env.push_back(variable(name, value));
  return env;
}

// Ours come first, so that the user's variables can refer to them.
void add_environment(Json& containers, const Json& env) {
  for (Json& container : containers) {
    Json all = env;
    if (const auto own = container.find("env"); own != container.end() && own->is_array())
      for (const Json& item : *own) all.push_back(item);
    container["env"] = std::move(all);
  }
}

// Any of them may be the cause of the pod's end.
void keep_last_words(Json& containers) {
  for (Json& container : containers)
    set_default(container, "terminationMessagePolicy", "FallbackToLogsOnError");
}

// Each level counts by itself; a container's own word comes before its pod's.
void complete_user(Json& security, const Json& pod_security) {
  const auto effective = [&](const char* field) -> const Json& {
    const Json& own = member(security, field);
    return own.is_null() ? member(pod_security, field) : own;
  };
  const Json& user = effective("runAsUser");  // fields that are added beside it do not move it
  if (effective("runAsNonRoot").is_null() && user != 0) {
    security["runAsNonRoot"] = true;
    if (user.is_null()) security["runAsUser"] = kNobody;
  }
}

void complete_own_container(Json& container, const PodPlan& plan, const Json& pod_security) {
  set_default(container, "name", plan.role);
  if (text(member(container, "image")).empty()) {
    container["image"] = plan.default_image;
    set_default(container, "imagePullPolicy",
                "IfNotPresent");  // an image that was loaded into the node will do
  }
  if (!container.contains("ports")) {
    for (const auto& [name, port] : kPorts)
      container["ports"].push_back({{"name", name}, {"containerPort", port}});
  }
  Json& security = child_object(container, "securityContext");
  set_default(security, "allowPrivilegeEscalation", false);
  set_default(security, "capabilities", {{"drop", Json::array({"ALL"})}});
  complete_user(security, pod_security);
}

// The pod's part of `restricted`; fsGroup lets the unprivileged user write to a mounted claim.
void complete_own_pod(Json& spec) {
  set_default(spec, "automountServiceAccountToken", false);
  Json& security = child_object(spec, "securityContext");
  set_default(security, "seccompProfile", {{"type", "RuntimeDefault"}});
  set_default(security, "fsGroup", kNobody);
  set_default(security, "fsGroupChangePolicy", "OnRootMismatch");
}

// Its own two keys and the authority, for the container of the role alone; never by subPath, which would not
// let a Secret be replaced.
void mount_credentials(Json& spec, Json& main, const PodPlan& plan) {
  const auto item = [](std::string key, const char* path) {
    return Json{{"key", std::move(key)}, {"path", path}};
  };
  spec["volumes"].push_back(
      {{"name", kCredentialsVolume},
       {"secret",
        {{"secretName", credentials_name(plan.owner, plan.ca, plan.role, plan.index)},
         {"defaultMode", kCredentialsMode},
         {"items", Json::array({item(std::to_string(plan.index) + ".key", kKeyFile),
                                item(std::to_string(plan.index) + ".crt", kCertificateFile),
                                item(kAuthorityFile, kAuthorityFile)})}}}});
  main["volumeMounts"].push_back(
      {{"name", kCredentialsVolume}, {"mountPath", kCredentialsFolder}, {"readOnly", true}});
}

bool has_volume(const Json& spec, std::string_view name) {
  const Json& list = member(spec, "volumes");
  return list.is_array() && std::any_of(list.begin(), list.end(), [name](const Json& volume) {
           return text(member(volume, "name")) == name;
         });
}

// Null: nothing is mounted there.
const Json* mount_at(const Json& container, std::string_view folder) {
  const Json& list = member(container, "volumeMounts");
  if (!list.is_array()) return nullptr;
  const auto found = std::find_if(list.begin(), list.end(), [folder](const Json& mount) {
    return spec::mount_path(text(member(mount, "mountPath"))) == folder;
  });
  return found == list.end() ? nullptr : &*found;
}

// Of 64 MiB a container has without it, in which the loaders and NCCL of a GPU program do not fit. Without a
// size the container's limit of memory bounds it.
void mount_shared_memory(Json& spec, Json& main, const PodPlan& plan, std::int64_t gpus) {
  if ((plan.shared_memory.empty() && gpus == 0) || mount_at(main, kSharedMemoryFolder) != nullptr) return;
  Json volume{{"medium", "Memory"}};
  if (!plan.shared_memory.empty()) volume["sizeLimit"] = plan.shared_memory;
  spec["volumes"].push_back({{"name", api::kSharedMemoryVolume}, {"emptyDir", std::move(volume)}});
  main["volumeMounts"].push_back({{"name", api::kSharedMemoryVolume}, {"mountPath", kSharedMemoryFolder}});
}

// Muster's worker as a native sidecar: it starts before the user's program, is told to end after it, and has
// the keys and ports. The two meet at a socket in a volume of their own.
void add_sidecar(Json& spec, Json& main, const PodPlan& plan) {
  const Json socket{{"name", kSocketVolume}, {"mountPath", kSocketFolder}};
  Json sidecar{{"name", kProgramSidecar},
               {"restartPolicy", "Always"},
               {"env", Json::array({variable(kSocketVariable, kSocketPath)})},
               {"volumeMounts", Json::array({socket})}};
  if (!plan.checkpoint_path.empty()) {  // the spec was refused if nothing holds it
    const auto folder = spec::storage_mount(plan.checkpoint_path, "spec.training.checkpoint.path",
                                            api::mounts_of(plan.pod_template, plan.role), "mount it");
    if (folder) sidecar["volumeMounts"].push_back(*mount_at(main, *folder));
  }
  if (!plan.sidecar_resources.is_null()) sidecar["resources"] = plan.sidecar_resources;
  complete_own_container(sidecar, plan, Json::object());
  sidecar["securityContext"]["seccompProfile"] = {{"type", "RuntimeDefault"}};
  spec["volumes"].push_back(
      {{"name", kSocketVolume}, {"emptyDir", {{"medium", "Memory"}, {"sizeLimit", kSocketVolumeSize}}}});
  Json& security = child_object(spec, "securityContext");
  if (!security.contains("fsGroup")) {
    // Of the keys; volumes of many files are not gone through for it at each start.
    security["fsGroup"] = kNobody;
    set_default(security, "fsGroupChangePolicy", "OnRootMismatch");
  }
  mount_credentials(spec, sidecar, plan);
  main["volumeMounts"].push_back(socket);
  Json env = Json::array({variable(kSocketVariable, kSocketPath)});
  // For Muster's word on the end, which the library writes where the kubelet looks.
  if (const Json& words = member(main, "terminationMessagePath"); words.is_string())
    env.push_back(variable(kTerminationLogVariable, text(words)));
  if (const Json& own = member(main, "env"); own.is_array()) env.insert(env.end(), own.begin(), own.end());
  main["env"] = std::move(env);
  Json& first = spec["initContainers"];  // after the user's own, which may fetch what the program needs
  if (!first.is_array()) first = Json::array();
  first.push_back(std::move(sidecar));
}

// What the program of the role's container tells its progress by: variables, which the user's own of the same
// names override, and the files that they name. Optional: without the Secret the program runs all the same.
void mount_token(Json& spec, Json& main, const PodPlan& plan) {
  const auto item = [](const char* name) { return Json{{"key", name}, {"path", name}}; };
  const bool group = !member(spec, "securityContext", "fsGroup").is_null();
  spec["volumes"].push_back({{"name", kProgressVolume},
                             {"secret",
                              {{"secretName", token_name(plan.owner, plan.ca)},
                               {"optional", true},
                               {"defaultMode", group ? kCredentialsMode : kTokenMode},
                               {"items", Json::array({item(kTokenFile), item(kAuthorityFile)})}}}});
  main["volumeMounts"].push_back(
      {{"name", kProgressVolume}, {"mountPath", kProgressFolder}, {"readOnly", true}});
  const std::string folder = std::string(kProgressFolder) + "/";
  Json env = Json::array(
      {variable(kProgressUrlVariable, plan.progress_url + report_path({plan.owner.ns, plan.owner.name,
                                                                       plan.owner.uid, plan.incarnation})),
       variable(kProgressCaVariable, folder + kAuthorityFile),
       variable(kProgressTokenVariable, folder + kTokenFile)});
  if (const Json& own = member(main, "env"); own.is_array()) env.insert(env.end(), own.begin(), own.end());
  main["env"] = std::move(env);
}

// The first pod may go anywhere: the scheduler lets a pod start that its own labels satisfy.
void keep_together(Json& spec, const PodPlan& plan) {
  if (plan.topology_key.empty()) return;
  Json& terms = child_object(child_object(spec, "affinity"),
                             "podAffinity")["requiredDuringSchedulingIgnoredDuringExecution"];
  if (!terms.is_array()) terms = Json::array();
  terms.push_back({{"labelSelector", {{"matchLabels", {{kJobUidLabel, plan.owner.uid}}}}},
                   {"topologyKey", plan.topology_key}});
}

// The user's own volume of the name, or mount in the place, wins.
bool tells_progress(const PodPlan& plan) {
  if (plan.image_is_ours || plan.progress_url.empty()) return false;
  const Json& spec = member(plan.pod_template, "spec");
  const Json& containers = member(spec, "containers");
  if (!containers.is_array() || containers.empty() || has_volume(spec, kProgressVolume)) return false;
  return mount_at(containers[role_container(containers, plan.role)], kProgressFolder) == nullptr;
}

std::string role_container_of_template(const PodPlan& plan) {
  const Json& containers = member(plan.pod_template, "spec", "containers");
  if (!containers.is_array() || containers.empty()) return plan.role;
  return text(member(containers[role_container(containers, plan.role)], "name"), plan.role);
}

Json pod_spec(const PodPlan& plan) {
  Json pod_template = plan.pod_template.is_object() ? plan.pod_template : Json::object();
  Json spec = child_object(pod_template, "spec");
  spec["restartPolicy"] = "Never";
  spec["hostname"] = pod_name(plan.owner.name, plan.role, plan.index);
  spec["subdomain"] = plan.owner.name;
  // Kubernetes' own default would resolve names by the node's servers, which know no Service.
  if (member(spec, "hostNetwork") == true) set_default(spec, "dnsPolicy", "ClusterFirstWithHostNet");
  set_default(spec, "containers", Json::array());
  Json& containers = spec["containers"];
  if (containers.empty()) containers.push_back({{"name", plan.role}});
  Json& main = containers[role_container(containers, plan.role)];
  if (plan.beside_program) {
    add_sidecar(spec, main, plan);
  } else if (plan.image_is_ours) {
    complete_own_container(main, plan, member(spec, "securityContext"));
    complete_own_pod(spec);
    mount_credentials(spec, main, plan);
  }
  keep_last_words(containers);
  if (spec.contains("initContainers") && spec["initContainers"].is_array())
    keep_last_words(spec["initContainers"]);
  if (tells_progress(plan)) mount_token(spec, main, plan);
  const std::int64_t gpus = gpus_of(main);
  mount_shared_memory(spec, main, plan, gpus);
  keep_together(spec, plan);
  const Json env = environment(plan, gpus);
  add_environment(containers, env);
  if (spec.contains("initContainers") && spec["initContainers"].is_array())
    add_environment(spec["initContainers"], env);
  return spec;
}

}  // namespace

std::string pod_name(const std::string& owner, const std::string& role, std::int64_t index) {
  return fmt::format("{}-{}-{}", owner, role, index);
}

Json pod_manifest(const PodPlan& plan) {
  Json metadata = Json::object();
  for (const char* taken : {"labels", "annotations", "finalizers"})
    if (const Json& value = member(plan.pod_template, "metadata", taken); !value.is_null())
      metadata[taken] = value;
  metadata["name"] = pod_name(plan.owner.name, plan.role, plan.index);
  metadata["namespace"] = plan.owner.ns;
  Json& labels = child_object(metadata, "labels");
  labels.update(object_labels(plan.owner, plan.kind));
  labels[kRoleLabel] = plan.role;
  labels[kIndexLabel] = std::to_string(plan.index);
  labels[kIncarnationLabel] = std::to_string(plan.incarnation);
  if (plan.image_is_ours) labels[kAuthorityLabel] = plan.ca;
  if (tells_progress(plan)) child_object(metadata, "annotations")[kProgressAnnotation] = plan.ca;
  if (!plan.peer_image.empty()) child_object(metadata, "annotations")[kPeerImageAnnotation] = plan.peer_image;
  if (plan.attempt > 0)
    child_object(metadata, "annotations")[kAttemptAnnotation] = std::to_string(plan.attempt);
  if (plan.world_size > 0)
    child_object(metadata, "annotations")[kWorldSizeAnnotation] = std::to_string(plan.world_size);
  if (const std::string name = role_container_of_template(plan); name != plan.role)
    child_object(metadata, "annotations")[kContainerAnnotation] = name;
  metadata["ownerReferences"] = owner_references(plan.owner, plan.kind);
  return {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", std::move(metadata)}, {"spec", pod_spec(plan)}};
}

Json child_metadata(const api::ObjectMeta& owner, const std::string& kind, const std::string& name) {
  return {{"name", name},
          {"namespace", owner.ns},
          {"labels", object_labels(owner, kind)},
          {"ownerReferences", owner_references(owner, kind)}};
}

Json credentials_manifest(const api::ObjectMeta& owner, const std::string& kind, const std::string& name) {
  return {{"apiVersion", "v1"},
          {"kind", "Secret"},
          {"metadata", child_metadata(owner, kind, name)},
          {"type", "Opaque"},
          {"immutable", true}};
}

Json service_manifest(const api::ObjectMeta& owner, const std::string& kind, bool image_is_ours,
                      std::int64_t master_port) {
  Json ports = Json::array();
  if (image_is_ours) {
    for (const auto& [name, port] : kPorts)
      ports.push_back({{"name", name}, {"port", port}, {"protocol", "TCP"}});
  } else {
    ports.push_back({{"name", "rendezvous"}, {"port", master_port}, {"protocol", "TCP"}});
  }
  return {{"apiVersion", "v1"},
          {"kind", "Service"},
          {"metadata", child_metadata(owner, kind, owner.name)},
          {"spec",
           {{"clusterIP", "None"},
            {"publishNotReadyAddresses", true},
            {"selector", {{kJobUidLabel, owner.uid}}},
            {"ports", std::move(ports)}}}};
}

std::string selector_of(const api::ObjectMeta& owner, const std::string& role) {
  std::string selector = fmt::format("{}={}", kJobUidLabel, owner.uid);
  return role.empty() ? selector : fmt::format("{},{}={}", selector, kRoleLabel, role);
}

}  // namespace muster::op
