// tests/sim/users.cc: random objects and what people do to them
#include "users.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/json/access.h"

namespace muster::sim {
namespace {

constexpr std::size_t kObjectsMax = 3;
constexpr int kNamesUsed = 3;  // few, so that names are used again; not by both kinds, which share Services

const Json& training() {
  static const Json kTraining{{"model", {{"name", "mlp"}}},
                              {"dataset", {{"name", "fashion-mnist"}, {"path", "/data"}}}};
  return kTraining;
}

// Of exit codes that programs of the simulation have, and of evictions.
Json any_rule(Random& random) {
  constexpr const char* kActions[] = {"FailJob", "RestartJob", "RestartPod", "Ignore"};
  Json rule{{"action", kActions[random.below(4)]}};
  switch (random.below(3)) {
    case 0: rule["onExitCodes"] = {{"operator", "In"}, {"values", Json::array({1, 139})}}; break;
    case 1: rule["onExitCodes"] = {{"operator", "NotIn"}, {"values", Json::array({137})}}; break;
    default: rule["onPodConditions"] = Json::array({{{"type", "DisruptionTarget"}, {"status", "True"}}});
  }
  return rule;
}

std::string resource_of(const Json& object) {
  return object["kind"] == "DistributedJob" ? "distributedjobs" : "federatedrounds";
}

}  // namespace

Users::Users(ApiStore& store, Tally& tally, std::uint64_t seed, bool rules,
             std::function<void(const std::string& uid)> on_edit)
    : store_(store), tally_(tally), random_(seed), rules_(rules), on_edit_(std::move(on_edit)) {}

void Users::create() {
  const std::uint64_t kind = random_.below(5);  // 0, 1: training; 2, 3: plain; 4: federated
  Json spec{{"suspend", one_in(10)}};
  Json policy{{"maxRestarts", random_.below(4)}};
  constexpr const char* kPolicies[] = {"Running", "All", "None"};
  policy["cleanPodPolicy"] = kPolicies[random_.below(3)];
  if (one_in(5)) policy["ttlSecondsAfterFinished"] = random_.below(30);
  if (one_in(8)) policy["activeDeadlineSeconds"] = 30 + random_.below(300);
  if (rules_ && kind < 4 && one_in(5)) {
    policy["failurePolicy"]["rules"] = Json::array({any_rule(random_), any_rule(random_)});
    tally_.count("user: failure rules");
  }
  if (rules_ && kind < 4 && one_in(8)) policy["pendingDeadlineSeconds"] = 30 + random_.below(200);
  if (rules_ && kind < 2 && one_in(8)) policy["progressDeadlineSeconds"] = 30 + random_.below(200);
  spec["runPolicy"] = policy;
  Json pod_template = Json::object();
  if (one_in(20)) pod_template["metadata"]["labels"]["sim/refuse"] = "422";
  if (kind < 4) spec["workers"] = {{"replicas", 1 + random_.below(4)}, {"template", pod_template}};
  if (kind < 2) spec["training"] = training();
  if (kind < 2 && one_in(4)) spec["workers"]["minReplicas"] = 1 + random_.below(spec["workers"]["replicas"]);
  const bool served = kind < 2 && one_in(2);
  if (served)
    spec["synchronization"] = {{"topology", "ParameterServer"},
                               {"parameterServers", {{"shards", 1 + random_.below(3)}}}};
  if (kind == 2 || kind == 3)
    spec["workers"]["template"]["spec"] = {
        {"containers", Json::array({{{"name", "main"}, {"image", "debian:12"}}})}};
  if (kind == 4) {
    spec["rounds"] = 3;
    spec["training"] = training();
    spec["cohort"] = {{"size", 2}, {"minimum", 1}};
    spec["clients"] = {{"count", 2 + random_.below(2)}, {"perPod", 1}};
  }
  const char* name = kind == 4 ? "FederatedRound" : "DistributedJob";
  const Json object{{"apiVersion", "muster.dev/v1alpha1"},
                    {"kind", name},
                    {"metadata",
                     {{"name", fmt::format("{}-{}", kind == 4 ? "round" : "job", random_.below(kNamesUsed))},
                      {"namespace", "team"}}},
                    {"spec", std::move(spec)}};
  if (std::holds_alternative<Refusal>(store_.create(resource_of(object), object))) return;
  tally_.count(fmt::format("user: create {}", served      ? "training with servers"
                                              : kind < 2  ? "training"
                                              : kind == 4 ? "federated"
                                                          : "plain"));
}

std::vector<Users::Target> Users::targets() const {
  std::vector<Target> targets;
  for (const char* resource : {"distributedjobs", "federatedrounds"})
    for (const Json* object : store_.all(resource)) targets.push_back({resource, key_of(*object), object});
  return targets;
}

void Users::edit(const Target& target, const char* what, const std::function<void(Json& spec)>& change) {
  on_edit_(meta_text(*target.object, "uid"));
  (void)store_.update(target.resource, target.key, [&](Json& object) -> std::optional<Refusal> {
    change(object["spec"]);
    return std::nullopt;
  });
  tally_.count(fmt::format("user: {}", what));
}

void Users::remove(const Target& target) {
  constexpr std::pair<const char*, kube::Propagation> kPropagations[] = {
      {"background", kube::Propagation::kBackground},
      {"foreground", kube::Propagation::kForeground},
      {"orphan", kube::Propagation::kOrphan}};
  const auto& [name, propagation] = kPropagations[random_.below(3)];
  kube::DeleteOptions options;
  options.propagation = propagation;
  on_edit_(meta_text(*target.object, "uid"));
  (void)store_.remove(target.resource, target.key, options);
  tally_.count(fmt::format("user: delete, {}", name));
}

void Users::scale(const Target& target) {
  if (target.resource != "distributedjobs") return;
  const std::uint64_t replicas = one_in(6) ? 0 : 1 + random_.below(4);
  edit(target, replicas == 0 ? "scale to 0" : "scale", [&](Json& spec) {
    Json& workers = spec["workers"];
    workers["replicas"] = replicas;
    if (workers.contains("minReplicas") && workers["minReplicas"] > replicas) workers.erase("minReplicas");
  });
}

void Users::act() {
  const auto present = targets();
  if (present.size() < kObjectsMax && one_in(20)) return create();
  if (present.empty() || !one_in(8)) return;
  const Target& target = present[random_.below(present.size())];
  switch (random_.below(10)) {
    case 0: return remove(target);
    case 1: return scale(target);
    case 2:
    case 3: {
      const bool suspend = !member(*target.object, "spec", "suspend").get<bool>();
      return edit(target, suspend ? "suspend" : "resume", [&](Json& spec) { spec["suspend"] = suspend; });
    }
    case 4:
      return edit(target, "edit",
                  [&](Json& spec) { spec["runPolicy"]["cleanPodPolicy"] = one_in(2) ? "All" : "None"; });
    default: return;
  }
}

void Users::resume_all() {
  for (const Target& target : targets())
    edit(target, "resume", [](Json& spec) {
      spec["suspend"] = false;
      if (spec.contains("workers") && spec["workers"]["replicas"] == 0) spec["workers"]["replicas"] = 1;
    });
}

void Users::remove_all() {
  for (const Target& target : targets()) remove(target);
}

}  // namespace muster::sim
