// tests/sim/nodes.cc: what befalls pods between their creation and their end
#include "nodes.h"

#include <fmt/format.h>

#include "common/base/rfc3339.h"
#include "common/pods/pod_state.h"
#include "objects.h"
#include "pod/pod_contract.h"

namespace muster::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kNodes = 3;

Json condition(const char* type, bool is_true) {
  return {{"type", type}, {"status", is_true ? "True" : "False"}};
}

std::string container_of(const Json& pod) {
  const Json& containers = member(pod, "spec", "containers");
  return text(member(
      containers[role_container(containers, text(member(pod, "metadata", "labels", kRoleLabel)))], "name"));
}

// Whether its affinity does: of one that was made while the node was broken.
bool avoids(const Json& pod, const std::string& node) {
  const Json& terms = member(pod, "spec", "affinity", "nodeAffinity");
  const Json& required = member(terms, "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms");
  for (const Json& term : required.is_array() ? required : Json::array())
    for (const Json& field : term.at("matchFields"))
      if (field.at("operator") == "NotIn" && field.at("values").at(0) == node) return true;
  return false;
}

}  // namespace

Nodes::Nodes(VirtualThreads& threads, ApiStore& store, Programs& programs, Faults& faults, std::uint64_t seed)
    : threads_(threads), store_(store), programs_(programs), faults_(faults), random_(seed) {
  for (int i = 0; i < kNodes; ++i) {
    const std::string name = fmt::format("node-{}", i);
    Node node;
    if (faults_.strikes(Fault::kClockSkew)) node.skew = up_to(random_, seconds(20)) - seconds(10);
    nodes_[name] = node;
    (void)store_.create("nodes",
                        Json{{"kind", "Node"}, {"metadata", {{"name", name}}}, {"spec", Json::object()}});
  }
  store_.listen([this](const std::string& resource, const Json* before, const Json* after) {
    if (resource == "pods") changed(before, after);
  });
  programs_.on_exit = [this](const std::string& uid, int code, const std::string& words) {
    ended(uid, code, words);
  };
}

const Json* Nodes::pod(const std::string& key, const std::string& uid) const {
  const Json* found = store_.find("pods", key);
  return found != nullptr && meta_text(*found, "uid") == uid ? found : nullptr;
}

Nodes::Node* Nodes::node_of(const Json& pod) {
  const auto found = nodes_.find(text(member(pod, "spec", "nodeName")));
  return found == nodes_.end() ? nullptr : &found->second;
}

WallTime Nodes::wall_of(const Json& pod) {
  const Node* node = node_of(pod);
  return threads_.wall() +
         std::chrono::duration_cast<WallTime::duration>(node == nullptr ? Nanos(0) : node->skew);
}

bool Nodes::reaches(const std::string& uid) const {
  const auto key = keys_.find(uid);
  if (key == keys_.end()) return false;
  const Json* found = pod(key->second, uid);
  if (found == nullptr) return false;
  const auto node = nodes_.find(text(member(*found, "spec", "nodeName")));
  return node != nodes_.end() && node->second.up;
}

void Nodes::edit(const std::string& key, const std::function<void(Json& status)>& change) {
  (void)store_.update("pods", key, [&](Json& object) -> std::optional<Refusal> {
    change(object["status"]);
    return std::nullopt;
  });
}

// Runs on the pod's node, once that is up, if the pod is still there.
void Nodes::when_up(const std::string& key, const std::string& uid, Nanos in,
                    const std::function<void(const Json& pod)>& what) {
  threads_.after(in, [=, this] {
    const Json* found = pod(key, uid);
    if (found == nullptr) return;
    const Node* node = node_of(*found);
    if (node != nullptr && !node->up) return when_up(key, uid, seconds(1), what);
    what(*found);
  });
}

void Nodes::changed(const Json* before, const Json* after) {
  const Json& either = after == nullptr ? *before : *after;
  const std::string key = key_of(either);
  const std::string uid = meta_text(either, "uid");
  if (before == nullptr) {
    keys_[uid] = key;
    const bool slow = faults_.strikes(Fault::kSlowPod);
    threads_.after(milliseconds(5) + up_to(random_, slow ? seconds(30) : milliseconds(50)),
                   [=, this] { bind(key, uid); });
  } else if (after == nullptr) {
    // Deleted by force, it may run on for a while where nobody can see it; not here.
    threads_.after(Nanos(0), [this, uid] { programs_.kill(uid); });
  } else if (is_terminating(*after) && !is_terminating(*before)) {
    terminate(key, uid);
  }
}

void Nodes::bind(const std::string& key, const std::string& uid) {
  const Json* known = pod(key, uid);
  if (known == nullptr) return;
  std::vector<std::string> fit;
  for (const auto& [name, node] : nodes_) {
    const bool avoided = avoids(*known, name);
    if (avoided) faults_.seen("a pod avoids a node");
    if (node.up && !avoided) fit.push_back(name);
  }
  if (fit.empty()) {
    threads_.after(seconds(2), [=, this] { bind(key, uid); });
    return;
  }
  const std::string chosen = fit[random_.below(fit.size())];
  (void)store_.update("pods", key, [&](Json& object) -> std::optional<Refusal> {
    object["spec"]["nodeName"] = chosen;
    object["status"]["conditions"] = Json::array({condition("PodScheduled", true)});
    return std::nullopt;
  });
  const bool slow = faults_.strikes(Fault::kSlowPod);
  when_up(key, uid, milliseconds(50) + up_to(random_, slow ? seconds(30) : milliseconds(500)),
          [=, this](const Json&) { start(key, uid); });
}

void Nodes::start(const std::string& key, const std::string& uid) {
  const Json& known = *pod(key, uid);
  if (is_terminating(known) || has_ended(known)) return;
  const std::string address = fmt::format("10.0.{}.{}", next_address_ / 250, next_address_ % 250);
  ++next_address_;
  edit(key, [&](Json& status) {
    status = {{"phase", "Running"},
              {"podIP", address},
              {"conditions", Json::array({condition("PodScheduled", true), condition("Ready", true)})},
              {"containerStatuses",
               Json::array({{{"name", container_of(known)}, {"state", {{"running", Json::object()}}}}})}};
  });
  programs_.begin(*pod(key, uid));
}

// The kubelet's part of a graceful deletion.
void Nodes::terminate(const std::string& key, const std::string& uid) {
  when_up(key, uid, milliseconds(100) + up_to(random_, seconds(3)), [=, this](const Json& known) {
    const bool ran = programs_.runs(uid);
    programs_.kill(uid);
    if (ran && !has_ended(known)) report_end(uid, kExitStopped, "");
    when_up(key, uid, milliseconds(50) + up_to(random_, seconds(1)), [=, this](const Json&) {
      (void)store_.remove(
          "pods", key,
          {.uid = uid, .resource_version = {}, .propagation = {}, .grace = std::chrono::seconds(0)});
    });
  });
}

void Nodes::ended(const std::string& uid, int code, const std::string& words) {
  const auto key = keys_.find(uid);
  if (key == keys_.end()) return;
  when_up(key->second, uid, milliseconds(10) + up_to(random_, seconds(1)), [=, this](const Json& known) {
    if (!has_ended(known)) report_end(uid, code, words);
  });
}

// First the container's state, then the pod's phase, as a kubelet may.
void Nodes::report_end(const std::string& uid, int code, const std::string& words) {
  const std::string key = keys_.at(uid);
  const Json* known = pod(key, uid);
  if (known == nullptr) return;
  const std::string finished = rfc3339(wall_of(*known));
  const std::string name = container_of(*known);
  const std::string phase = code == 0 ? "Succeeded" : "Failed";
  const bool in_steps = random_.below(3) == 0;
  edit(key, [&](Json& status) {
    status["containerStatuses"] = Json::array({{{"name", name},
                                                {"state",
                                                 {{"terminated",
                                                   {{"exitCode", code},
                                                    {"reason", code == 0 ? "Completed" : "Error"},
                                                    {"message", words},
                                                    {"finishedAt", finished}}}}}}});
    status["conditions"] = Json::array({condition("PodScheduled", true), condition("Ready", false)});
    if (!in_steps) status["phase"] = phase;
  });
  if (!in_steps) return;
  when_up(key, uid, up_to(random_, seconds(2)),
          [=, this](const Json&) { edit(key, [&](Json& status) { status["phase"] = phase; }); });
}

void Nodes::evict(const Json& victim, const char* reason) {
  const std::string key = key_of(victim);
  edit(key, [&](Json& status) {
    status["conditions"].push_back({{"type", "DisruptionTarget"},
                                    {"status", "True"},
                                    {"reason", reason},
                                    {"message", "the node is being drained"}});
  });
  (void)store_.remove("pods", key, {});
}

const Json* Nodes::any_pod(bool running) {
  std::vector<const Json*> pods = store_.all("pods");
  std::erase_if(pods, [&](const Json* each) {
    return running && (!programs_.runs(meta_text(*each, "uid")) || is_terminating(*each));
  });
  return pods.empty() ? nullptr : pods[random_.below(pods.size())];
}

void Nodes::misbehave() {
  if (const Json* victim = any_pod(true); victim != nullptr && faults_.strikes(Fault::kPodCrash)) {
    constexpr int kCodes[] = {1, 137, 139, kExitRetry};
    programs_.crash(meta_text(*victim, "uid"), kCodes[random_.below(4)]);
  }
  if (const Json* victim = any_pod(true); victim != nullptr && faults_.strikes(Fault::kPodRefusesForGood))
    programs_.crash(meta_text(*victim, "uid"), kExitInvalid);
  if (const Json* victim = any_pod(true); victim != nullptr && faults_.strikes(Fault::kEviction))
    evict(*victim, "EvictionByEvictionAPI");
  if (const Json* victim = any_pod(false); victim != nullptr && faults_.strikes(Fault::kPodDeleted))
    (void)store_.remove("pods", key_of(*victim), {});
  if (const Json* victim = any_pod(false); victim != nullptr && faults_.strikes(Fault::kPodVanishes))
    (void)store_.remove(
        "pods", key_of(*victim),
        {.uid = {}, .resource_version = {}, .propagation = {}, .grace = std::chrono::seconds(0)});
  if (faults_.strikes(Fault::kNodeLost)) lose(fmt::format("node-{}", random_.below(kNodes)));
  if (faults_.strikes(Fault::kNodeBroken)) {
    const std::string name = fmt::format("node-{}", random_.below(kNodes));
    set_broken(name, true);
    threads_.after(seconds(5) + up_to(random_, seconds(120)), [this, name] { set_broken(name, false); });
  }
}

// Its pods run on: that they have to leave it is for the operator to see.
void Nodes::set_broken(const std::string& name, bool broken) {
  (void)store_.update("nodes", name, [&](Json& node) -> std::optional<Refusal> {
    node["status"]["conditions"] = Json::array({condition(kNodeProblem, broken)});
    return std::nullopt;
  });
}

void Nodes::taint(const std::string& name, bool lost) {
  (void)store_.update("nodes", name, [&](Json& node) -> std::optional<Refusal> {
    node["spec"] = Json::object();
    if (lost)
      node["spec"]["taints"] =
          Json::array({{{"key", "node.kubernetes.io/unreachable"}, {"effect", "NoExecute"}}});
    return std::nullopt;
  });
}

// Nobody hears of its pods, whatever they do. The node controller taints it after a while, and after another
// while deletes its pods, which stay until the node is back or somebody uses force.
void Nodes::lose(const std::string& name) {
  Node& node = nodes_.at(name);
  if (!node.up) return;
  node.up = false;
  threads_.after(seconds(40), [this, name] {
    if (nodes_.at(name).up) return;
    taint(name, true);
    for (const Json* each : store_.all("pods"))
      if (text(member(*each, "spec", "nodeName")) == name && !is_terminating(*each))
        threads_.after(seconds(5), [this, key = key_of(*each), uid = meta_text(*each, "uid"), name] {
          const Json* victim = pod(key, uid);
          if (victim != nullptr && !nodes_.at(name).up) evict(*victim, "DeletionByTaintManager");
        });
  });
  threads_.after(seconds(10) + up_to(random_, seconds(240)), [this, name] { come_back(name); });
}

void Nodes::come_back(const std::string& name) {
  Node& node = nodes_.at(name);
  if (node.up) return;
  node.up = true;
  taint(name, false);
  if (!faults_.strikes(Fault::kNodeGone)) return;
  for (const Json* each : store_.all("pods")) {  // it was restarted: its containers are gone
    const std::string uid = meta_text(*each, "uid");
    if (text(member(*each, "spec", "nodeName")) != name || !programs_.runs(uid)) continue;
    programs_.kill(uid);
    edit(key_of(*each), [&](Json& status) {
      status["phase"] = "Failed";
      status["conditions"] = Json::array({condition("Ready", false)});
      status["containerStatuses"] = Json::array(
          {{{"name", container_of(*each)},
            {"state", {{"terminated", {{"exitCode", 137}, {"reason", "ContainerStatusUnknown"}}}}}}});
    });
  }
}

void Nodes::heal() {
  for (auto& [name, node] : nodes_) {
    come_back(name);
    set_broken(name, false);
  }
}

}  // namespace muster::sim
