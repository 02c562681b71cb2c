// tests/operator/core/cluster_model.cc: the least of a cluster that a reconcile pass can be held against
#include "cluster_model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/rfc3339.h"
#include "operator/api/pod_template.h"
#include "operator/core/assignment.h"
#include "operator/core/kueue.h"
#include "pod/pod_contract.h"

namespace muster::op::testing {
namespace {

const WallTime kStart = *parse_rfc3339("2030-01-01T00:00:00Z");

constexpr const char* kFinalStatus = R"({"membership": "1", "phase": "PHASE_SUCCEEDED"})";

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

bool ended(const Json& pod) {
  return pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed";
}
bool terminating(const Json& pod) { return pod["metadata"].contains("deletionTimestamp"); }

}  // namespace

JobBuilder::JobBuilder(const std::string& name) {
  object_ = {
      {"apiVersion", "muster.dev/v1alpha1"},
      {"kind", "DistributedJob"},
      {"metadata", {{"name", name}, {"namespace", "default"}, {"uid", "job-uid"}, {"generation", 1}}},
      {"spec",
       {{"suspend", false},
        {"workers", {{"replicas", 4}}},
        {"training",
         {{"model", {{"name", "cnn"}}}, {"dataset", {{"name", "fashion-mnist"}, {"path", "/data"}}}}}}}};
}

JobBuilder& JobBuilder::set(const std::string& pointer, Json value) {
  object_[Json::json_pointer(pointer)] = std::move(value);
  return *this;
}

JobBuilder& JobBuilder::plain(const std::string& image) {
  object_["spec"].erase("training");
  return set("/spec/workers/template/spec/containers", Json::array({{{"name", "main"}, {"image", image}}}));
}

JobBuilder job(const std::string& name) { return JobBuilder(name); }

Json federated_round(int clients, int per_pod) {
  return {
      {"apiVersion", "muster.dev/v1alpha1"},
      {"kind", "FederatedRound"},
      {"metadata", {{"name", "phones"}, {"namespace", "default"}, {"uid", "round-uid"}, {"generation", 1}}},
      {"spec",
       {{"rounds", 5},
        {"training",
         {{"model", {{"name", "mlp"}}}, {"dataset", {{"name", "fashion-mnist"}, {"path", "/data"}}}}},
        {"cohort", {{"size", 2}}},
        {"clients", {{"count", clients}, {"perPod", per_pod}}}}}};
}

ClusterModel::ClusterModel(Json first) : now(kStart), object(std::move(first)) { touch(object); }

void ClusterModel::touch(Json& item) {
  item["metadata"]["resourceVersion"] = std::to_string(next_version_++);
}

Json& ClusterModel::child_of(const ApiKind& api) { return api.group == "kueue.x-k8s.io" ? workload : group; }

bool ClusterModel::patch_child(const PatchChildStatus& patch) {
  Json& child = child_of(patch.api);
  if (child["metadata"]["resourceVersion"] != patch.patch.at("metadata").at("resourceVersion")) return false;
  Json status = child.value("status", Json::object());
  status.merge_patch(patch.patch.at("status"));
  child["status"] = std::move(status);
  touch(child);
  ++workload_writes;
  return true;
}

Decision ClusterModel::decide(const Json& seen_object, const std::map<std::string, Json>& seen_pods) const {
  Observed common;
  common.report = report;
  common.defaults = defaults;
  common.now = now;
  for (const auto& [name, pod] : seen_pods) {
    auto known = pod_from_json(pod, object["metadata"]["uid"]);
    if (!known) continue;
    judge_node(*known, pod, bad_nodes);
    if (known->end) known->sighted = sightings.try_emplace(known->uid, now).first->second;
    common.pods.push_back(std::move(*known));
  }
  common.service = service;
  common.agents = agents;
  for (const auto& [uid, agent] : agents) {
    const bool answers = !silent.contains(uid);
    const std::string news =
        answers ? fmt::format("{} {} {}", agent.membership(), agent.phase(), agent.message()) : "silent";
    auto& known = told[uid];
    if (known.first != news) known = {news, now};
    common.contacts[uid] = {.answers = answers, .since = known.second};
  }
  for (const auto& [uid, since] : unheard) {
    common.agents.erase(uid);
    common.contacts[uid] = {.answers = false, .since = since};
  }
  common.unkept = unkept;
  common.rejections = rejections;
  common.ca = ca;
  common.credentials = credentials;
  common.found_credentials = found_credentials;
  common.refusals = refusals;
  common.obstacle = obstacle;
  common.lost_nodes = lost_nodes;
  common.bad_nodes = bad_nodes;
  common.scheduling = scheduling;
  common.scheduling.workload = {.known = scheduling.queue.kind.has_value() && needs_queue(seen_object),
                                .object = workload.is_null() ? nullptr : std::make_shared<Json>(workload)};
  if (seen_object.contains("status") && seen_object["status"].contains("gang"))
    common.scheduling.group = {
        .known = group_known,
        .object = group.is_null() || !group_known ? nullptr : std::make_shared<Json>(group)};
  common.keeps_history = keeps_history;
  common.last_status_write = last_status_write;
  if (seen_object["kind"] == "FederatedRound")
    return reconcile(ObservedRound{common, *api::federated_round_from_json(seen_object)});
  return reconcile(ObservedJob{common, *api::distributed_job_from_json(seen_object)});
}

bool ClusterModel::create_credentials(const CreateCredentials& create) {
  const std::string name = create.manifest["metadata"]["name"];
  ++secret_writes;
  secrets.emplace(name, create);  // AlreadyExists has landed
  credentials[name] = now;
  return true;
}

// The keys of each pod must be there before it is, or it waits for them in vain.
void expect_credentials(const std::map<std::string, CreateCredentials>& secrets, const Json& pod) {
  if (!pod["spec"].contains("volumes")) return;
  for (const Json& volume : pod["spec"]["volumes"]) {
    if (!volume.contains("secret") || volume["name"] != kCredentialsVolume) continue;
    const auto found = secrets.find(volume["secret"]["secretName"]);
    ASSERT_NE(found, secrets.end()) << volume;
    const std::int64_t index = std::stoll(pod["metadata"]["labels"]["muster.dev/index"].get<std::string>());
    EXPECT_EQ(found->second.role, pod["metadata"]["labels"]["muster.dev/role"]);
    EXPECT_GE(index, found->second.first);
    EXPECT_LT(index, found->second.first + found->second.count);
  }
}

bool ClusterModel::create_pod(const Json& manifest) {
  const std::string name = manifest["metadata"]["name"];
  if (pods.contains(name))  // AlreadyExists has landed when it is ours
    return pods[name]["metadata"]["ownerReferences"] == manifest["metadata"]["ownerReferences"];
  expect_credentials(secrets, manifest);
  Json pod = manifest;
  pod["metadata"]["uid"] = "pod-" + std::to_string(next_uid_++);
  pod["metadata"]["creationTimestamp"] = rfc3339(now);
  pod["status"] = {{"phase", "Pending"}};
  touch(pod);
  pods[name] = std::move(pod);
  return true;
}

bool ClusterModel::patch_status(const Json& patch) {
  if (patch.at("metadata").at("resourceVersion") != object["metadata"]["resourceVersion"]) return false;
  Json status = object.value("status", Json::object());
  status.merge_patch(patch.at("status"));
  object["status"] = std::move(status);
  touch(object);
  last_status_write = now;
  ++status_writes;
  return true;
}

bool ClusterModel::apply(const Action& action) {
  return std::visit(Overloaded{[&](const CreateService&) {
                                 if (service == ServiceState::kAbsent) service = ServiceState::kOurs;
                                 return service == ServiceState::kOurs;
                               },
                               [&](const CreateCredentials& create) { return create_credentials(create); },
                               [&](const CreateChild& create) {
                                 Json& child = child_of(create.api);
                                 if (!child.is_null()) return true;
                                 child = create.manifest;
                                 child["metadata"]["uid"] = "child-" + std::to_string(next_uid_++);
                                 touch(child);
                                 return true;
                               },
                               [&](const DeleteChild& remove) {
                                 Json& child = child_of(remove.api);
                                 if (!child.is_null() && child["metadata"]["uid"] == remove.uid)
                                   child = nullptr;
                                 return true;
                               },
                               [&](const PatchChildStatus& patch) { return patch_child(patch); },
                               [&](const CreatePod& create) { return create_pod(create.manifest); },
                               [&](const CheckPod&) { return true; },
                               [&](const DeletePod& remove) {
                                 const auto found = pods.find(remove.name);
                                 if (found == pods.end() || found->second["metadata"]["uid"] != remove.uid)
                                   return true;
                                 if (remove.grace_seconds == 0)
                                   pods.erase(found);
                                 else
                                   delete_pod(remove.name);
                                 return true;
                               },
                               [&](const ConfigurePod& configure) {
                                 if (pods.contains(configure.pod) && uid_of(configure.pod) == configure.uid)
                                   assignments[configure.uid] = assignment_of(configure);
                                 return true;
                               },
                               [&](const PatchStatus& patch) { return patch_status(patch.patch); },
                               [&](const DeleteObject&) {
                                 object_deleted = true;
                                 object["metadata"]["deletionTimestamp"] = rfc3339(now);
                                 return true;
                               },
                               [&](const RecordHistory& what) {
                                 if (!history_refused) history[what.key] = what.record;
                                 ++history_writes;
                                 return !history_refused || !what.must;
                               },
                               [&](const EmitEvent& event) {
                                 events.push_back(event);
                                 return true;
                               }},
                    action);
}

std::size_t ClusterModel::pass() {
  std::size_t done = 0;
  for (const Action& action : decide().actions) {
    if (!apply(action)) break;
    if (!std::holds_alternative<EmitEvent>(action)) ++done;
  }
  return done;
}

void ClusterModel::settle() {
  for (int i = 0; i < 50; ++i) {
    now += std::chrono::seconds(1);  // past the pacing of progress
    if (pass() == 0) return;
    agents_follow();
  }
}

void ClusterModel::start_pods() {
  for (auto& [name, pod] : pods) {
    if (ended(pod) || terminating(pod) || pod["status"]["phase"] == "Running") continue;
    const std::string uid = pod["metadata"]["uid"];
    pod["status"] = {{"phase", "Running"},
                     {"podIP", "127.1.0." + uid.substr(4)},
                     {"conditions", Json::array({{{"type", "Ready"}, {"status", "True"}}})}};
    touch(pod);
    agents[uid] = {};
    agents[uid].set_phase(control::v1::PHASE_WAITING);
  }
}

void ClusterModel::end_pod(const std::string& name, int exit_code, const std::string& words) {
  Json& pod = pods.at(name);
  const std::string container = pod["spec"]["containers"][0]["name"];
  const bool ours = object["spec"].contains("training");
  const std::string said = exit_code == 0 && words.empty() && ours ? kFinalStatus : words;
  pod["status"]["phase"] = exit_code == 0 ? "Succeeded" : "Failed";
  pod["status"]["conditions"] = Json::array({{{"type", "Ready"}, {"status", "False"}}});
  pod["status"]["containerStatuses"] = Json::array({{{"name", container},
                                                     {"state",
                                                      {{"terminated",
                                                        {{"exitCode", exit_code},
                                                         {"message", said},
                                                         {"finishedAt", rfc3339(now)},
                                                         {"reason", "Error"}}}}}}});
  agents.erase(pod["metadata"]["uid"].get<std::string>());
  touch(pod);
}

void ClusterModel::evict(const std::string& name) {
  Json& pod = pods.at(name);
  pod["status"]["conditions"].push_back({{"type", "DisruptionTarget"},
                                         {"status", "True"},
                                         {"reason", "EvictionByEvictionAPI"},
                                         {"message", "node drain"}});
  delete_pod(name);
}

void ClusterModel::delete_pod(const std::string& name) {
  Json& pod = pods.at(name);
  if (terminating(pod)) return;
  pod["metadata"]["deletionTimestamp"] = rfc3339(now + std::chrono::seconds(30));
  touch(pod);
}

void ClusterModel::finish_deletions() {
  std::erase_if(pods, [&](const auto& item) {
    if (terminating(item.second)) agents.erase(item.second["metadata"]["uid"].template get<std::string>());
    return terminating(item.second);
  });
}

void ClusterModel::agents_follow() {
  for (auto& [uid, agent] : agents) {
    const auto given = assignments.find(uid);
    if (given == assignments.end() || agent.membership() >= given->second.membership()) continue;
    agent.set_membership(given->second.membership());
    agent.set_phase(control::v1::PHASE_RUNNING);
    agent.clear_message();
  }
}

void ClusterModel::lose_peer(const std::string& name, const std::string& words) {
  control::v1::AgentStatus& agent = agents.at(uid_of(name));
  agent.set_phase(control::v1::PHASE_WAITING);
  agent.set_message(words);
}

void ClusterModel::bring_up() {
  settle();
  start_pods();
  settle();
}

api::JobStatus ClusterModel::status() const { return api::status_from_json(object.value("status", Json())); }

const api::Condition* ClusterModel::condition(const std::string& type) const {
  status_cache_ = status();
  return api::find_condition(status_cache_.conditions, type);
}

int ClusterModel::count_events(const std::string& reason) const {
  return static_cast<int>(std::count_if(events.begin(), events.end(),
                                        [&](const EmitEvent& event) { return event.reason == reason; }));
}

}  // namespace muster::op::testing
