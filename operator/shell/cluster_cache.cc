// operator/shell/cluster_cache.cc: informers, label-filtered and projected to what a pass reads
#include "operator/shell/cluster_cache.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <string_view>

#include "common/json/access.h"
#include "common/pods/pod_state.h"
#include "operator/core/credentials.h"
#include "operator/core/incarnation_image.h"
#include "operator/core/observed.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

// Pages of 100 keep the peak of a list small; watches bring the rest.
constexpr int kPageSize = 100;

void drop_bookkeeping(Json& object) {
  const auto metadata = object.find("metadata");
  if (metadata == object.end() || !metadata->is_object()) return;
  metadata->erase("managedFields");
  if (const auto annotations = metadata->find("annotations");
      annotations != metadata->end() && annotations->is_object()) {
    annotations->erase("kubectl.kubernetes.io/last-applied-configuration");
  }
}

// Those by which judge_node goes.
Json tolerations_that_count(const Json& spec, const std::vector<NodeProblemRule>& rules) {
  Json kept = Json::array();
  const Json& tolerations = member(spec, "tolerations");
  if (!tolerations.is_array()) return kept;
  for (const Json& toleration : tolerations) {
    const std::string key = text(member(toleration, "key"));
    const auto is_ruled = [&key](const NodeProblemRule& rule) { return rule.is_taint && rule.name == key; };
    if (key.empty() || std::ranges::any_of(rules, is_ruled)) kept.push_back(toleration);
  }
  return kept;
}

using Fields = std::initializer_list<std::string_view>;

// Of an object its members in `kept`; of a list, of each of its objects.
void keep(Json& value, Fields kept) {
  if (value.is_array())
    for (Json& item : value) keep(item, kept);
  if (!value.is_object()) return;
  for (auto it = value.begin(); it != value.end();)
    it = std::ranges::find(kept, it.key()) == kept.end() ? value.erase(it) : std::next(it);
}

void keep_in(Json& object, const char* field, Fields kept) {
  if (const auto found = object.find(field); found != object.end()) keep(*found, kept);
}

void keep_what_a_scheduler_needs(const Json& spec, Json& kept) {
  if (const std::string name = text(member(spec, "schedulerName"));
      name != "default-scheduler" && !name.empty())
    kept["schedulerName"] = name;
  if (const Json& claims = member(spec, "resourceClaims"); claims.is_array()) kept["resourceClaims"] = claims;
}

// By which Muster's worker beside a program is told from a container of the user's own.
void keep_mount_of_keys(const Json& all, Json& kept) {
  const Json& containers = member(all, "initContainers");
  if (!containers.is_array()) return;
  for (std::size_t i = 0; i < containers.size(); ++i)
    if (is_program_sidecar(containers[i]))
      kept["initContainers"][i]["volumeMounts"] = Json::array({{{"name", kCredentialsVolume}}});
}

// What pod_from_json reads. What we put into a pod's spec we know, and env and volumes are most of its bytes;
// of its annotations most are a network's, of its status the images.
void project_pod(Json& pod, const std::vector<NodeProblemRule>& rules) {
  Json spec = spec_for_pod_state(member(pod, "spec"));
  keep_mount_of_keys(member(pod, "spec"), spec);
  if (std::string node = text(member(pod, "spec", "nodeName")); !node.empty())
    spec["nodeName"] = std::move(node);
  if (Json tolerations = tolerations_that_count(member(pod, "spec"), rules); !tolerations.empty())
    spec["tolerations"] = std::move(tolerations);
  const bool placed = spec.contains("nodeName");
  if (!placed) keep_what_a_scheduler_needs(member(pod, "spec"), spec);
  pod["spec"] = std::move(spec);
  keep_in(pod, "metadata",
          {"namespace", "name", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "labels",
           "annotations", "ownerReferences"});
  if (const auto metadata = pod.find("metadata"); metadata != pod.end())
    keep_in(*metadata, "annotations",
            {kProgressAnnotation, kAttemptAnnotation, kWorldSizeAnnotation, kGangAnnotation,
             kAvoidsAnnotation, kContainerAnnotation, kPeerImageAnnotation, kExecAuthorityAnnotation});
  const auto status = pod.find("status");
  if (status == pod.end()) return;
  keep(*status, {"phase", "reason", "message", "podIP", "conditions", "containerStatuses",
                 "initContainerStatuses", "resourceClaimStatuses"});
  if (placed && status->is_object()) status->erase("resourceClaimStatuses");
  keep_in(*status, "resourceClaimStatuses", {"name"});
  keep_in(*status, "conditions", {"type", "status", "reason", "message", "lastTransitionTime"});
  for (const char* statuses : {"containerStatuses", "initContainerStatuses"})
    keep_in(*status, statuses, {"name", "state", "allocatedResourcesStatus"});
}

void project_service(Json& service) {
  drop_bookkeeping(service);
  service.erase("spec");
  service.erase("status");
}

// Kueue's Workloads: their templates are large, and ours.
void project_child(Json& object) {
  drop_bookkeeping(object);
  if (object.value("kind", "") != "Workload" || !member(object, "spec", "podSets").is_array()) return;
  for (Json& set : object["spec"]["podSets"])
    if (set.is_object()) set.erase("template");
}

std::string ours() { return std::string(kManagedByLabel) + "=" + kManagedBy; }

std::string owner_index(const std::string& ns, const std::string& uid) { return ns + "/" + uid; }
std::string owner_of(const Json& object) {
  const auto owner = controller_of(object);
  return owner ? owner_index(meta_text(object, "namespace"), owner->uid) : std::string();
}

}  // namespace

std::optional<Owner> controller_of(const Json& object) {
  const Json& owners = member(object, "metadata", "ownerReferences");
  if (!owners.is_array()) return std::nullopt;
  for (const Json& owner : owners) {
    const Json& controller = member(owner, "controller");
    if (!controller.is_boolean() || !controller.get<bool>()) continue;
    return Owner{.kind = text(member(owner, "kind")),
                 .name = text(member(owner, "name")),
                 .uid = text(member(owner, "uid"))};
  }
  return std::nullopt;
}

bool leaves_soon(const Json& object, const std::string& kind, const std::string& name) {
  if (member(object, "metadata", "deletionTimestamp").is_string()) return true;
  const auto owner = controller_of(object);
  return owner && owner->kind == kind && owner->name == name;
}

bool is_orphan(const Json& object, const std::string& kind, const std::string& name) {
  const Json& labels = member(object, "metadata", "labels");
  return !controller_of(object) && !leaves_soon(object, kind, name) &&
         text(member(labels, kManagedByLabel)) == kManagedBy && text(member(labels, kJobKindLabel)) == kind &&
         text(member(labels, kJobNameLabel)) == name;
}

ClusterCache::ClusterCache(kube::Client& client, Options options)
    : client_(client), options_(std::move(options)) {
  if (options_.namespaces.empty()) options_.namespaces.emplace_back();
  if (!options_.node_problems.empty())
    nodes_ = std::make_unique<NodeWatch>(
        client_, NodeWatch::Options{.rules = options_.node_problems,
                                    .on_change = [this](const std::string& node) { wake_owners(node); },
                                    .on_problem = options_.on_problem});
  const MutexLock lock(mutex_);
  for (const kube::Resource* resource :
       {&kube::kDistributedJobs, &kube::kFederatedRounds, &kube::kPods, &kube::kServices})
    add(*resource);
}

void ClusterCache::add(const kube::Resource& resource) {
  for (const std::string& ns : options_.namespaces) informers_.push_back(informer_of(resource, ns));
}

std::unique_ptr<kube::Informer> ClusterCache::informer_of(const kube::Resource& resource,
                                                          const std::string& ns) {
  const bool root = resource == kube::kDistributedJobs || resource == kube::kFederatedRounds;
  kube::Informer::Options options;
  options.ns = ns;
  options.page_size = kPageSize;
  options.on_problem = options_.on_problem;
  options.watcher.seed =
      std::hash<std::string>{}(resource.plural + "/" + ns) ^
      static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  if (root) {
    options.project = drop_bookkeeping;
    options.on_change = [this, kind = resource.kind](const kube::Object& object, bool) {
      options_.on_change(kind, kube::object_key(*object), false);
    };
  } else {
    options.label_selector = ours();
    if (resource == kube::kPods) {
      options.project = [this](Json& pod) { project_pod(pod, options_.node_problems); };
    } else {
      options.project = resource == kube::kServices ? project_service : project_child;
    }
    options.index = owner_of;
    options.on_change = [this](const kube::Object& object, bool) {
      const auto owner = controller_of(*object);
      if (!owner) return;
      const std::string space = text(member(*object, "metadata", "namespace"));
      options_.on_change(owner->kind, space + "/" + owner->name, true);
    };
  }
  return std::make_unique<kube::Informer>(client_, resource, std::move(options));
}

std::vector<kube::Informer*> ClusterCache::all() const {
  std::vector<kube::Informer*> all;
  const MutexLock lock(mutex_);
  for (const auto& informer : informers_) all.push_back(informer.get());
  return all;
}

std::vector<kube::Informer*> ClusterCache::of(const kube::Resource& resource) const {
  std::vector<kube::Informer*> found;
  const MutexLock lock(mutex_);
  for (const auto& informer : informers_)
    if (informer->resource() == resource) found.push_back(informer.get());
  return found;
}

void ClusterCache::follow(const kube::Resource& resource) {
  {
    const MutexLock lock(mutex_);
    for (const auto& informer : informers_)
      if (informer->resource() == resource) return;
    add(resource);
  }
  for (kube::Informer* informer : of(resource)) informer->start();
}

bool ClusterCache::synced(const kube::Resource& resource) const {
  return std::ranges::all_of(of(resource), [](const kube::Informer* each) { return each->synced(); });
}

void ClusterCache::start() {
  for (kube::Informer* informer : all()) informer->start();
  if (nodes_) nodes_->start();
}

void ClusterCache::wake_owners(const std::string& node) {
  for (const kube::Object& pod : list(kube::kPods)) {
    const std::string its = text(member(*pod, "spec", "nodeName"));
    const bool waits = its.empty() && !member(*pod, "metadata", "annotations", kAvoidsAnnotation).is_null();
    const auto owner = controller_of(*pod);
    if (owner && (its == node || waits))
      options_.on_change(owner->kind, meta_text(*pod, "namespace") + "/" + owner->name, true);
  }
}

bool ClusterCache::wait_synced(Deadline deadline) {
  for (kube::Informer* informer : all()) {
    if (!informer->wait_synced(deadline)) return false;
  }
  return !nodes_ || nodes_->wait_settled(deadline);
}

bool ClusterCache::synced() const {
  for (kube::Informer* informer : all()) {
    if (!informer->synced()) return false;
  }
  return !nodes_ || nodes_->settled();
}

kube::Object ClusterCache::get(const kube::Resource& resource, const std::string& key) const {
  for (kube::Informer* informer : of(resource)) {
    if (auto object = informer->store().get(key)) return object;
  }
  return nullptr;
}

std::vector<kube::Object> ClusterCache::list(const kube::Resource& resource) const {
  std::vector<kube::Object> all;
  for (kube::Informer* informer : of(resource)) {
    for (auto& object : informer->store().list()) all.push_back(std::move(object));
  }
  return all;
}

std::vector<kube::Object> ClusterCache::pods_of(const std::string& ns, const std::string& owner_uid) const {
  std::vector<kube::Object> all;
  for (kube::Informer* informer : of(kube::kPods)) {
    for (auto& object : informer->store().by_index(owner_index(ns, owner_uid)))
      all.push_back(std::move(object));
  }
  return all;
}

Status ClusterCache::catch_up() {
  for (const std::string& ns : options_.namespaces) {
    kube::ListOptions options;
    options.label_selector = ours();
    options.limit = kPageSize;
    do {
      MUSTER_ASSIGN(kube::ListPage page, client_.list(kube::kPods, ns, options));
      for (Json& pod : page.items) observe_write(kube::kPods, std::move(pod));
      options.continue_token = std::move(page.continue_token);
    } while (!options.continue_token.empty());
  }
  return {};
}

Status ClusterCache::look_again(const std::string& ns, const std::string& pod, const std::string& uid) {
  auto found = client_.get(kube::kPods, ns, pod);
  if (!found && found.error().code != Code::kNotFound) return found.error();
  if (!found || meta_text(*found, "uid") != uid) {
    observe_gone(kube::kPods, ns + "/" + pod, uid);
  } else {
    observe_write(kube::kPods, std::move(*found));
  }
  return {};
}

void ClusterCache::observe_write(const kube::Resource& resource, Json object) {
  const std::string ns = text(member(object, "metadata", "namespace"));
  for (kube::Informer* informer : of(resource)) {
    if (informer->covers(ns)) return informer->observe_write(std::move(object));
  }
}

void ClusterCache::observe_gone(const kube::Resource& resource, const std::string& key,
                                const std::string& uid) {
  for (kube::Informer* informer : of(resource)) {
    const auto known = informer->store().get(key);
    if (known && meta_text(*known, "uid") == uid) informer->store().erase(*known);
  }
}

}  // namespace muster::op
