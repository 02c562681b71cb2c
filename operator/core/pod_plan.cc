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
#include "operator/core/pod_environment.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

constexpr std::pair<const char*, int> kPorts[] = {
    {"control", kControlPort}, {"data", kDataPort}, {"metrics", kMetricsPort}};
constexpr const char* kSharedMemoryFolder = "/dev/shm";
constexpr int kCredentialsMode = 0440;  // for the pod's group: its user is not known here
// Of a token, where the pod names no group: nobody but the container's own processes sees the mount.
constexpr int kTokenMode = 0444;
constexpr const char* kSocketVolumeSize =
    "1Mi";  // it holds a name; parameters lie in memory of the two processes
constexpr const char* kExecVolumeSize = "16Mi";  // a program of 5 MB, and once more while it is copied
constexpr std::int64_t kNobody = 65532;          // the user of Muster's images

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
void mount_credentials(Json& spec, Json& main, const PodPlan& plan, const char* folder = kCredentialsFolder,
                       int mode = kCredentialsMode) {
  const auto item = [](std::string key, const char* path) {
    return Json{{"key", std::move(key)}, {"path", path}};
  };
  spec["volumes"].push_back(
      {{"name", kCredentialsVolume},
       {"secret",
        {{"secretName", credentials_name(plan.owner, plan.ca, plan.role, plan.index)},
         {"defaultMode", mode},
         {"items", Json::array({item(std::to_string(plan.index) + ".key", kKeyFile),
                                item(std::to_string(plan.index) + ".crt", kCertificateFile),
                                item(kAuthorityFile, kAuthorityFile)})}}}});
  main["volumeMounts"].push_back({{"name", kCredentialsVolume}, {"mountPath", folder}, {"readOnly", true}});
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

// Puts `env` before the container's own, and where the kubelet looks for last words: Muster's library writes
// them, muster-exec reads those of its command.
void tell_termination_log(Json& main, Json env) {
  if (const Json& words = member(main, "terminationMessagePath"); words.is_string())
    env.push_back(variable(kTerminationLogVariable, text(words)));
  if (const Json& own = member(main, "env"); own.is_array()) env.insert(env.end(), own.begin(), own.end());
  if (!env.empty()) main["env"] = std::move(env);
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
  tell_termination_log(main, Json::array({variable(kSocketVariable, kSocketPath)}));
  Json& first = spec["initContainers"];  // after the user's own, which may fetch what the program needs
  if (!first.is_array()) first = Json::array();
  first.push_back(std::move(sidecar));
}

// The mode of files for the container of a user's own: where the pod names no group, nobody is in it.
int mode_for_any_user(const Json& spec) {
  return member(spec, "securityContext", "fsGroup").is_null() ? kTokenMode : kCredentialsMode;
}

// An init container copies muster-exec into a volume, and it is put before the container's command.
void supervise(Json& spec, Json& main, const PodPlan& plan) {
  const Json amounts{{"cpu", "100m"}, {"memory", "64Mi"}};  // both: else no pod of it is Guaranteed
  Json copier{{"name", kExecProgram},
              {"image", plan.exec_image},
              {"imagePullPolicy", "IfNotPresent"},
              {"args", Json::array({"install", kExecFolder})},
              {"resources", {{"requests", amounts}, {"limits", amounts}}},
              {"volumeMounts", Json::array({{{"name", kExecVolume}, {"mountPath", kExecFolder}}})},
              {"securityContext",
               {{"allowPrivilegeEscalation", false},
                {"readOnlyRootFilesystem", true},
                {"runAsNonRoot", true},
                {"capabilities", {{"drop", Json::array({"ALL"})}}},
                {"seccompProfile", {{"type", "RuntimeDefault"}}}}}};
  // Else its user is that of the pod, or of the image, which OpenShift puts one of its own in place of.
  const Json& pod_security = member(spec, "securityContext");
  if (member(pod_security, "runAsUser") == 0 || member(pod_security, "runAsNonRoot") == false)
    copier["securityContext"]["runAsUser"] = kNobody;
  Json& first = spec["initContainers"];  // behind the user's own, which keep their places in the template
  if (!first.is_array()) first = Json::array();
  first.push_back(std::move(copier));
  spec["volumes"].push_back({{"name", kExecVolume}, {"emptyDir", {{"sizeLimit", kExecVolumeSize}}}});
  main["volumeMounts"].push_back({{"name", kExecVolume}, {"mountPath", kExecFolder}, {"readOnly", true}});
  mount_credentials(spec, main, plan, kExecKeysFolder, mode_for_any_user(spec));
  tell_termination_log(main, Json::array());
  Json command =
      Json::array({std::string(kExecFolder) + "/" + kExecProgram, "--keys", kExecKeysFolder, "--"});
  for (const Json& word : member(main, "command")) command.push_back(word);
  main["command"] = std::move(command);
}

// What the program of the role's container tells its progress by: variables, which the user's own of the same
// names override, and the files that they name. Optional: without the Secret the program runs all the same.
void mount_token(Json& spec, Json& main, const PodPlan& plan) {
  const auto item = [](const char* name) { return Json{{"key", name}, {"path", name}}; };
  spec["volumes"].push_back({{"name", kProgressVolume},
                             {"secret",
                              {{"secretName", token_name(plan.owner, plan.ca)},
                               {"optional", true},
                               {"defaultMode", mode_for_any_user(spec)},
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
  if (plan.in_place) supervise(spec, main, plan);
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
  if (plan.in_place) child_object(metadata, "annotations")[kExecAuthorityAnnotation] = plan.ca;
  if (tells_progress(plan)) child_object(metadata, "annotations")[kProgressAnnotation] = plan.ca;
  if (!plan.peer_image.empty()) child_object(metadata, "annotations")[kPeerImageAnnotation] = plan.peer_image;
  if (plan.attempt > 0)
    child_object(metadata, "annotations")[kAttemptAnnotation] = std::to_string(plan.attempt);
  if (plan.world_size > 0 && !plan.in_place)  // else it is the roster's, and changes
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
