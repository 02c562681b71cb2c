// local/workload_controller.cc: carries out what local/workloads decides
#include "local/workload_controller.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/platform/log.h"
#include "local/api/table_cells.h"
#include "local/workloads/deployment.h"
#include "local/workloads/owners.h"
#include "local/workloads/replica_set.h"

namespace muster::local {
namespace {

using namespace std::chrono_literals;

constexpr const char* kDeployments = "deployments.apps";
constexpr const char* kReplicaSets = "replicasets.apps";
constexpr auto kIdle = 60'000ms;
constexpr auto kRetry = 1'000ms;  // of a write that was refused

std::string selector_of(const Json& object) { return selector_text(member(object, "spec", "selector"), ""); }

std::chrono::milliseconds until(WallTime then) {
  return std::chrono::ceil<std::chrono::milliseconds>(then - std::chrono::system_clock::now());
}

}  // namespace

WorkloadController::WorkloadController(LocalClient& client) : client_(client) {
  for (const char* resource : {kDeployments, kReplicaSets, "pods"}) {
    subscriptions_.push_back(client.subscribe(resource));
    threads_.emplace_back(
        [this, resource, changes = subscriptions_.back().get()] { follow(resource, *changes); });
  }
  threads_.emplace_back([this] { run(); });
}

WorkloadController::~WorkloadController() { stop(); }

void WorkloadController::stop() {
  {
    const MutexLock lock(mutex_);
    if (std::exchange(stopped_, true)) return;
  }
  changed_.notify_all();
  for (const auto& changes : subscriptions_) changes->close();
  for (std::thread& thread : threads_) thread.join();
}

void WorkloadController::follow(const std::string& resource, LocalClient::Subscription& changes) {
  while (true) {
    const std::vector<Change> news = changes.next(kIdle);
    const MutexLock lock(mutex_);
    if (stopped_) return;
    for (const Change& change : news) {
      if (!concerns(resource, *change.object)) continue;
      if (resource != "pods") active_.insert(change.object->ns);
      due_[change.object->ns] = Instant::min();
    }
    if (!due_.empty()) changed_.notify_one();
  }
}

// Most pods belong to other controllers: they wake nobody here.
bool WorkloadController::concerns(const std::string& resource, const StoredObject& object) const {
  if (resource != "pods") return true;
  if (!active_.contains(object.ns)) return false;
  return object.owner_uids.empty() || object.text.find("\"kind\":\"ReplicaSet\"") != std::string::npos;
}

void WorkloadController::wake(const std::string& ns, std::chrono::milliseconds after) {
  const MutexLock lock(mutex_);
  const Instant then = std::chrono::steady_clock::now() + after;
  const auto [found, added] = due_.emplace(ns, then);
  if (!added) found->second = std::min(found->second, then);
}

void WorkloadController::run() {
  MutexLock lock(mutex_);
  while (!stopped_) {
    const Instant now = std::chrono::steady_clock::now();
    const auto next = std::ranges::min_element(due_, {}, [](const auto& entry) { return entry.second; });
    if (next == due_.end() || next->second > now) {
      changed_.wait_until(lock, next == due_.end() ? now + kIdle : next->second);
      continue;
    }
    const std::string ns = next->first;
    due_.erase(next);
    lock.unlock();
    pass(ns);
    lock.lock();
  }
}

void WorkloadController::pass(const std::string& ns) {
  for (const Json& deployment : client_.list(kDeployments, ns)) step_deployment(deployment);
  for (const Json& replica_set : client_.list(kReplicaSets, ns)) step_replica_set(replica_set);
}

void WorkloadController::step_deployment(const Json& deployment) {
  const std::string ns = namespace_of(deployment);
  std::vector<Json> own;
  for (Json& set : client_.list(kReplicaSets, ns, selector_of(deployment))) {
    if (controller_of(set).is_null() && !going(set) && !going(deployment)) {
      const Json owners = Json::array({controller_reference(deployment, "Deployment")});
      auto adopted =
          client_.patch(kReplicaSets, ns, name_of(set), {{"metadata", {{"ownerReferences", owners}}}});
      if (adopted) set = *std::move(adopted);
    }
    if (controls(deployment, set)) own.push_back(std::move(set));
  }
  const DeploymentPlan plan = plan_deployment(deployment, own, std::chrono::system_clock::now());
  if (plan.create && !create_replica_set(deployment, *plan.create)) return;
  for (const Scaling& each : plan.scale) {
    if (!client_.patch(kReplicaSets, ns, each.replica_set, {{"spec", {{"replicas", each.to}}}})) continue;
    say(deployment, "Deployment", true, "ScalingReplicaSet",
        fmt::format("Scaled {} replica set {} from {} to {}", each.to > each.from ? "up" : "down",
                    each.replica_set, each.from, each.to));
  }
  const Json numbered{{"metadata", {{"annotations", {{kRevision, plan.revision}}}}}};
  const auto number = [&](const char* resource, const std::string& name, const Json& object) {
    if (text(member(object, "metadata", "annotations", kRevision)) != plan.revision)
      (void)client_.patch(resource, ns, name, numbered);
  };
  if (!going(deployment)) number(kDeployments, name_of(deployment), deployment);
  for (const Json& set : own)
    if (name_of(set) == plan.current) number(kReplicaSets, plan.current, set);
  for (const std::string& old : plan.remove) (void)client_.remove(kReplicaSets, ns, old);
  write_status(kDeployments, deployment, plan.status);
  if (plan.again) wake(ns, until(*plan.again));
}

bool WorkloadController::create_replica_set(const Json& deployment, const Json& replica_set) {
  const std::string ns = namespace_of(deployment);
  const auto created = client_.create(kReplicaSets, ns, replica_set);
  if (created) {
    say(deployment, "Deployment", true, "ScalingReplicaSet",
        fmt::format("Scaled up replica set {} from 0 to {}", name_of(replica_set),
                    integer(member(replica_set, "spec", "replicas"))));
    return true;
  }
  if (created.error().code == Code::kAlreadyExists) {  // somebody else's: another hash is tried
    const std::int64_t collisions = integer(member(deployment, "status", "collisionCount")) + 1;
    (void)client_.patch_status(kDeployments, ns, name_of(deployment),
                               {{"status", {{"collisionCount", collisions}}}});
  } else {
    say(deployment, "Deployment", false, "ReplicaSetCreateError",
        fmt::format("Failed to create new replica set \"{}\": {}", name_of(replica_set),
                    created.error().message));
    wake(ns, kRetry);
  }
  return false;
}

void WorkloadController::step_replica_set(const Json& replica_set) {
  const std::string ns = namespace_of(replica_set);
  const std::string uid = uid_of(replica_set);
  const auto plan_now = [&] {
    return plan_replica_set(replica_set, client_.list("pods", ns, selector_of(replica_set)), failures_[uid],
                            std::chrono::system_clock::now());
  };
  ReplicaSetPlan plan = plan_now();
  const Json owners = Json::array({controller_reference(replica_set, "ReplicaSet")});
  for (const std::string& pod : plan.adopt)
    (void)client_.patch("pods", ns, pod, {{"metadata", {{"ownerReferences", owners}}}});
  if (plan.create > 0) {
    create_pods(replica_set, plan.create);
    plan = plan_now();
  }
  if (plan.create == 0) failures_.erase(uid);
  for (const std::string& pod : plan.remove)
    if (client_.remove("pods", ns, pod))
      say(replica_set, "ReplicaSet", true, "SuccessfulDelete", fmt::format("Deleted pod: {}", pod));
  write_status(kReplicaSets, replica_set, plan.status);
  if (plan.again) wake(ns, until(*plan.again));
}

void WorkloadController::create_pods(const Json& replica_set, std::int64_t count) {
  const std::string ns = namespace_of(replica_set);
  const Json pod = pod_of(replica_set);
  for (; count > 0; --count) {
    const auto created = client_.create("pods", ns, pod);
    if (!created) {
      failures_[uid_of(replica_set)] = created.error().message;
      say(replica_set, "ReplicaSet", false, "FailedCreate", "Error creating: " + created.error().message);
      return wake(ns, kRetry);
    }
    say(replica_set, "ReplicaSet", true, "SuccessfulCreate",
        fmt::format("Created pod: {}", name_of(*created)));
  }
}

void WorkloadController::write_status(const char* resource, const Json& object, const Json& status) {
  const Json& stored = member(object, "status");
  if (stored == status) return;
  Json patch = status;
  if (stored.is_object())
    for (const auto& [name, value] : stored.items())
      if (!status.contains(name)) patch[name] = nullptr;
  const auto written =
      client_.patch_status(resource, namespace_of(object), name_of(object), {{"status", patch}});
  if (!written && written.error().code != Code::kNotFound) {
    spdlog::warn("cannot write a status resource={} name={}/{} error={}", resource, namespace_of(object),
                 name_of(object), written.error().message);
    wake(namespace_of(object), kRetry);
  }
}

void WorkloadController::say(const Json& about, const char* kind, bool good, const std::string& reason,
                             const std::string& message) {
  Json object = about;
  object["apiVersion"] = "apps/v1";
  object["kind"] = kind;
  client_.record_event(
      {.regarding = object,
       .field_path = "",
       .type = good ? "Normal" : "Warning",
       .reason = reason,
       .message = message,
       .component = std::string(kind) == "Deployment" ? "deployment-controller" : "replicaset-controller",
       .host = ""});
}

}  // namespace muster::local
