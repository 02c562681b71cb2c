#pragma once  // local/tests/support/fake_node_api.h: the API as the node sees it, in memory, for tests of the
              // runtime
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "local/runtime/json_access.h"
#include "local/runtime/node_api.h"

namespace muster::local {

class FakeNodeApi : public NodeApi {  // thread-safe
 public:
  void put(const std::string& resource, Json object) {
    const std::lock_guard lock(mutex_);
    store(resource, std::move(object));
  }
  // As `kubectl delete`: the node must end the pod and then ask for its removal.
  void begin_deletion(const std::string& ns, const std::string& name, int grace_seconds) {
    const std::lock_guard lock(mutex_);
    Json pod = objects_["pods"][ns + "/" + name];
    pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z";
    pod["metadata"]["deletionGracePeriodSeconds"] = grace_seconds;
    store("pods", std::move(pod));
  }
  void remove_at_once(const std::string& ns, const std::string& name) {
    const std::lock_guard lock(mutex_);
    erase("pods", ns + "/" + name);
  }
  void remove_service(const std::string& ns, const std::string& name) {
    const std::lock_guard lock(mutex_);
    erase("services", ns + "/" + name);
  }
  // Waits until `fact` holds for the pod; null JSON stands for a pod that is gone. False when `limit` has
  // passed.
  bool until(const std::string& ns, const std::string& name, const std::function<bool(const Json&)>& fact,
             std::chrono::seconds limit = std::chrono::seconds(20)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] {
      const auto found = objects_["pods"].find(ns + "/" + name);
      return fact(found == objects_["pods"].end() ? Json() : found->second);
    });
  }
  [[nodiscard]] Json object(const std::string& resource, const std::string& ns, const std::string& name) {
    const std::lock_guard lock(mutex_);
    return objects_[resource][ns + "/" + name];
  }
  [[nodiscard]] std::vector<NodeEvent> events() {
    const std::lock_guard lock(mutex_);
    return events_;
  }

  std::vector<ObjectChange> changes(std::string_view resource, std::chrono::milliseconds wait) override {
    std::unique_lock lock(mutex_);
    auto& pending = pending_[std::string(resource)];
    changed_.wait_for(lock, std::min(wait, std::chrono::milliseconds(50)),
                      [&pending] { return !pending.empty(); });
    return std::exchange(pending, {});
  }
  Result<Json> get(std::string_view resource, std::string_view ns, std::string_view name) override {
    const std::lock_guard lock(mutex_);
    const auto& all = objects_[std::string(resource)];
    const auto found = all.find(fmt::format("{}/{}", ns, name));
    if (found == all.end()) return not_found(fmt::format("{} \"{}\" not found", resource, name));
    return found->second;
  }
  std::vector<Json> services(std::string_view ns) override {
    const std::lock_guard lock(mutex_);
    std::vector<Json> out;
    for (const auto& [key, service] : objects_["services"]) {
      if (namespace_of(service) == ns) out.push_back(service);
    }
    return out;
  }
  Result<std::string> account_token(const Json& pod) override { return "token of " + name_of(pod); }
  Status write_status(std::string_view resource, const Json& object, const Json& status) override {
    const std::lock_guard lock(mutex_);
    auto& all = objects_[std::string(resource)];
    const auto found = all.find(namespace_of(object) + "/" + name_of(object));
    if (found == all.end() || uid_of(found->second) != uid_of(object)) return not_found("it is gone");
    Json changed = found->second;
    changed["status"].merge_patch(status);
    store(std::string(resource), std::move(changed));
    return {};
  }
  Status finish_deletion(const Json& pod) override {
    const std::lock_guard lock(mutex_);
    const std::string key = namespace_of(pod) + "/" + name_of(pod);
    const Json& stored = objects_["pods"][key];
    if (!member(stored, "metadata", "deletionTimestamp").is_string()) {
      return failed_precondition("the pod does not want to go");
    }
    erase("pods", key);
    return {};
  }
  void record(const NodeEvent& event) override {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
  }

 private:
  void store(const std::string& resource, Json object) {
    pending_[resource].push_back({.deleted = false, .object = object});
    const std::string key = namespace_of(object) + "/" + name_of(object);
    objects_[resource][key] = std::move(object);
    changed_.notify_all();
  }
  void erase(const std::string& resource, const std::string& key) {
    pending_[resource].push_back({.deleted = true, .object = objects_[resource][key]});
    objects_[resource].erase(key);
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::map<std::string, Json>> objects_;  // by resource, then namespace/name
  std::map<std::string, std::vector<ObjectChange>> pending_;    // by resource
  std::vector<NodeEvent> events_;
};

}  // namespace muster::local
