// operator/shell/node_health.cc: taints of one node, and what an error says instead
#include "operator/shell/node_health.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "common/json/access.h"

namespace muster::op {
namespace {

constexpr std::chrono::seconds kAnswerFor{5};

bool is_tainted_lost(const Json& node) {
  const Json& taints = member(node, "spec", "taints");
  if (!taints.is_array()) return false;
  for (const Json& taint : taints) {
    const std::string key = text(member(taint, "key"));
    if (key == "node.kubernetes.io/unreachable" || key == "node.kubernetes.io/out-of-service") return true;
  }
  return false;
}

}  // namespace

bool NodeHealth::lost(const std::string& node) {
  if (node.empty()) return false;
  const Instant now = std::chrono::steady_clock::now();
  {
    const MutexLock lock(mutex_);
    std::erase_if(answers_, [now](const auto& entry) { return entry.second.until < now; });
    if (const auto known = answers_.find(node); known != answers_.end()) return known->second.lost;
  }
  const bool lost = ask(node);
  const MutexLock lock(mutex_);
  answers_[node] = {.lost = lost, .until = now + kAnswerFor};
  return lost;
}

bool NodeHealth::ask(const std::string& node) {
  const auto object = client_.get(kube::kNodes, {}, node);
  if (object) return is_tainted_lost(*object);
  if (object.error().code == Code::kNotFound) return true;
  const MutexLock lock(mutex_);
  if (object.error().code == Code::kPermissionDenied && !std::exchange(told_forbidden_, true)) {
    spdlog::warn(
        "{}; pods on lost nodes are left to the cluster: grant get on nodes to have them deleted by force",
        object.error().message);
  }
  return false;
}

}  // namespace muster::op
