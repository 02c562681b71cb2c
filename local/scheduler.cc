// local/scheduler.cc: the loop around local/scheduling.h
#include "local/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "common/base/rfc3339.h"
#include "common/platform/log.h"
#include "local/runtime/json_access.h"
#include "local/scheduling.h"

namespace muster::local {
namespace {

constexpr std::chrono::milliseconds kIdle{60'000};
constexpr std::chrono::milliseconds kRetry{1'000};  // while a pod waits for something that is not a pod

}  // namespace

Scheduler::Scheduler(LocalClient& client, std::string node)
    : client_(client),
      node_(std::move(node)),
      changes_(client.subscribe("pods")),
      thread_([this] { run(); }) {}

Scheduler::~Scheduler() { stop(); }

void Scheduler::stop() {
  if (stopped_.exchange(true)) return;
  changes_->close();
  thread_.join();
}

void Scheduler::run() {
  Instant retry = std::chrono::steady_clock::now();
  while (!stopped_) {
    bool freed = false;
    for (const Change& change : changes_->next(refused_.empty() ? kIdle : kRetry)) freed |= take(change);
    const Instant now = std::chrono::steady_clock::now();
    const bool everything = freed || now >= retry;
    if (everything) retry = now + kRetry;
    if (!stopped_) place_all(everything);
  }
}

// True if the pod gave back what it held.
bool Scheduler::take(const Change& change) {
  const std::string& uid = change.object->uid;
  if (change.type != ChangeType::kDeleted) {
    Json pod = change.object->json();
    if (wants_scheduling(pod) || holds_resources(pod, node_)) {
      pods_[uid] = std::move(pod);
      return false;
    }
  }
  refused_.erase(uid);
  return pods_.erase(uid) > 0;
}

void Scheduler::place_all(bool refused_too) {
  std::vector<const Json*> pending;
  for (const auto& [uid, pod] : pods_) {
    if (wants_scheduling(pod) && (refused_too || refused_.count(uid) == 0)) pending.push_back(&pod);
  }
  if (pending.empty()) return;
  const Result<Json> node = client_.get("nodes", "", node_);
  if (!node) return;
  std::ranges::stable_sort(
      pending, {}, [](const Json* pod) { return text(member(*pod, "metadata", "creationTimestamp")); });
  auto free = free_resources(*node, {});
  for (const auto& [uid, pod] : pods_) {
    if (holds_resources(pod, node_)) take_resources(pod, free);
  }
  for (const Json* pod : pending) {
    if (place(*pod, *node, free)) take_resources(*pod, free);
  }
}

std::string Scheduler::missing_claim(const Json& pod) const {
  for (const Json& volume : member(pod, "spec", "volumes")) {
    std::string claim = text(member(volume, "persistentVolumeClaim", "claimName"));
    if (!claim.empty() && !client_.get("persistentvolumeclaims", namespace_of(pod), claim)) return claim;
  }
  return "";
}

bool Scheduler::place(const Json& pod, const Json& node, const std::map<std::string, std::int64_t>& free) {
  if (const std::string claim = missing_claim(pod); !claim.empty()) {
    say_unschedulable(
        pod, fmt::format("0/1 nodes are available: persistentvolumeclaim \"{}\" not found. preemption: 0/1 "
                         "nodes are available: 1 Preemption is not helpful for scheduling.",
                         claim));
    return false;
  }
  if (const auto why_not = obstacles(pod, node, free); !why_not.empty()) {
    say_unschedulable(pod, unschedulable_message(why_not));
    return false;
  }
  const Status bound = client_.bind_pod(namespace_of(pod), name_of(pod), uid_of(pod), node_);
  refused_.erase(uid_of(pod));
  if (!bound) {
    if (bound.error().code != Code::kNotFound && bound.error().code != Code::kAborted) {
      spdlog::warn("cannot bind a pod pod={}/{} error={}", namespace_of(pod), name_of(pod),
                   bound.error().message);
    }
    return false;
  }
  pods_[uid_of(pod)]["spec"]["nodeName"] = node_;  // until its change arrives
  client_.record_event(
      {.regarding = pod,
       .field_path = "",
       .type = "Normal",
       .reason = "Scheduled",
       .message = fmt::format("Successfully assigned {}/{} to {}", namespace_of(pod), name_of(pod), node_),
       .component = "default-scheduler",
       .host = ""});
  return true;
}

void Scheduler::say_unschedulable(const Json& pod, const std::string& why) {
  std::string& said = refused_[uid_of(pod)];
  if (said == why) return;
  said = why;
  client_.record_event({.regarding = pod,
                        .field_path = "",
                        .type = "Warning",
                        .reason = "FailedScheduling",
                        .message = why,
                        .component = "default-scheduler",
                        .host = ""});
  const Json condition{
      {"type", "PodScheduled"},    {"status", "False"},
      {"lastProbeTime", nullptr},  {"lastTransitionTime", rfc3339(std::chrono::system_clock::now())},
      {"reason", "Unschedulable"}, {"message", why}};
  const auto written = client_.patch_status("pods", namespace_of(pod), name_of(pod),
                                            {{"status", {{"conditions", Json::array({condition})}}}});
  if (!written && written.error().code != Code::kNotFound) {
    spdlog::warn("cannot say why a pod waits pod={}/{} error={}", namespace_of(pod), name_of(pod),
                 written.error().message);
  }
}

}  // namespace muster::local
