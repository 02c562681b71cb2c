// operator/core/reconcile_federated_round.cc: what to do next for one FederatedRound
#include "operator/core/reconcile_federated_round.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/host_port.h"
#include "common/json/access.h"
#include "common/spec/pod_templates.h"
#include "operator/api/mounts.h"
#include "operator/core/assignment.h"
#include "operator/core/client_pods.h"
#include "operator/core/credentials.h"
#include "operator/core/deadlines.h"
#include "operator/core/failure_policy.h"
#include "operator/core/failure_rules.h"
#include "operator/core/followers.h"
#include "operator/core/incarnation.h"
#include "operator/core/lifecycle.h"
#include "operator/core/pod_attempts.h"
#include "operator/core/pod_plan.h"
#include "operator/core/progress.h"
#include "operator/core/run_object.h"
#include "operator/core/silence.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

constexpr const char* kKind = "FederatedRound";
constexpr const char* kRole = "aggregator";
constexpr const char* kClientRole = "client";

// True when the pass is over: the federation failed, or its aggregator starts anew.
bool judge_aggregator(Pass& pass, const api::FederatedRoundSpec& spec, const Incarnation& members) {
  if (members.current.empty()) {
    if (pass.before.formed_incarnation != pass.after.incarnation) return false;
    restart(pass, Cause::kDisruption, "the aggregator pod is gone", 0);
    return true;
  }
  const Pod& pod = *members.current.front();
  if (const RuleMatch match = rule_for(spec.run_policy.failure_rules, pod)) {
    obey(pass, match, pod, spec.run_policy.max_restarts);  // alone in its role: RestartPod is RestartJob
    return true;
  }
  if (cannot_work(pod)) {
    fail(pass, "PodFailedPermanently", with_note(end_of(pod), "a restart would not help"));
    return true;
  }
  if (restart_for_authority(pass, {&pod})) return true;
  if (avoids_in_vain(pod, pass.seen.bad_nodes)) {
    restart(pass, Cause::kDisruption,
            fmt::format("{} waits for a node and may not go to one that is well again, or gone", pod.name),
            0);
    return true;
  }
  if (fate_of(pod) == PodFate::kAlive && has_gone_silent_with_node(pass, pod)) {
    restart(pass, Cause::kDisruption,
            fmt::format("{} does not answer, as its node {} is out of reach", pod.name, pod.node), 0);
    return true;
  }
  switch (fate_of(pod)) {
    case PodFate::kFailed:
      restart(pass, Cause::kFailure, end_of(pod), spec.run_policy.max_restarts);
      return true;
    case PodFate::kDisrupted: restart(pass, Cause::kDisruption, end_of(pod), 0); return true;
    case PodFate::kAlive:
    case PodFate::kSucceeded: return false;
  }
  return false;
}

Json aggregator_manifest(const Pass& pass, const api::FederatedRoundSpec& spec, const RoundImages& images) {
  return pod_manifest({.owner = pass.meta,
                       .kind = kKind,
                       .role = kRole,
                       .index = 0,
                       .incarnation = pass.after.incarnation,
                       .attempt = 0,
                       .world_size = 0,
                       .pod_template = spec.aggregator_template,
                       .image_is_ours = true,
                       .default_image = images.aggregator,
                       .peer_image = images.client,
                       .ca = pass.seen.ca});
}

void create_aggregator(Pass& pass, const api::FederatedRoundSpec& spec, const RoundImages& images,
                       const Incarnation& members) {
  if (!members.current.empty() || !members.older.empty()) return;
  if (const auto when = create_not_before(pass.after); when && pass.seen.now < *when) {
    pass.again_at(*when);
    return;
  }
  CredentialsBlocks(pass, kRole).before_pod(0);
  if (is_new_template(pass.before))
    pass.act(
        CheckPod{.manifest = client_manifest(pass, spec, images, 0), .part = spec::kClientTemplate.path});
  create_pod(pass, kRole, spec::kAggregatorTemplate.path, aggregator_manifest(pass, spec, images));
  pass.event("Normal", "PodsCreated",
             fmt::format("created the aggregator pod of incarnation {}", pass.after.incarnation));
}

// The aggregator first; the clients once it has its part, so that the address they get answers.
void configure(Pass& pass, const api::FederatedRoundSpec& spec, const std::string& for_pods,
               const Pod& aggregator, const std::vector<const Pod*>& clients) {
  const std::int64_t membership = pass.before.membership;
  const auto agent = pass.seen.agents.find(aggregator.uid);
  if (pass.before.formed_incarnation != pass.before.incarnation || aggregator.ip.empty() ||
      agent == pass.seen.agents.end() || fate_of(aggregator) != PodFate::kAlive)
    return;
  auto common = std::make_shared<control::v1::Assignment>(assignment_to(pass, for_pods));
  if (agent->second.membership() < membership) {
    for (std::string& mount : api::writable_mounts(spec.aggregator_template, kRole))
      common->add_writable_mounts(std::move(mount));
    common->mutable_aggregator();
    pass.act(ConfigurePod{
        .pod = aggregator.name, .uid = aggregator.uid, .ip = aggregator.ip, .common = std::move(common)});
    return;
  }
  common->mutable_client()->set_aggregator(host_port(aggregator.ip, kDataPort));
  for (std::string& mount : api::writable_mounts(spec.client_template, "client"))
    common->add_writable_mounts(std::move(mount));
  for (const Pod* client : clients) {
    const auto known = pass.seen.agents.find(client->uid);
    if (fate_of(*client) != PodFate::kAlive || client->ip.empty() || known == pass.seen.agents.end())
      continue;
    if (known->second.membership() >= membership) continue;
    const std::int64_t first = client->index * spec.federation.clients_per_pod;
    const std::int64_t count = std::min(spec.federation.clients_per_pod, spec.federation.clients - first);
    ConfigurePod call{.pod = client->name, .uid = client->uid, .ip = client->ip, .common = common};
    call.own.mutable_client()->set_first_client(static_cast<std::int32_t>(first));
    call.own.mutable_client()->set_clients(static_cast<std::int32_t>(count));
    pass.act(std::move(call));
  }
}

void succeed_by(Pass& pass, const Pod& aggregator) {
  fold_aggregator(pass, aggregator);
  const Json& progress = pass.after.progress;
  std::string message = "the aggregator succeeded";
  if (progress.is_object() && progress.contains("round")) {
    const auto rounds = progress.value("rounds", std::int64_t{0});
    message = fmt::format("{}{} rounds committed", progress["round"].get<std::int64_t>(),
                          rounds > 0 ? fmt::format(" of {}", rounds) : "");
    if (progress.value("targetReached", false)) message += ", the target is reached";
    if (progress.contains("accuracy"))
      message += fmt::format(", accuracy {}", progress["accuracy"].get<double>());
  }
  succeed(pass, message);
}

class RoundBody final : public ObjectBody {
 public:
  RoundBody(const api::FederatedRoundSpec& spec, const ObservedRound& seen)
      : spec_(spec), for_pods_(seen.round.for_pods) {
    const std::int64_t incarnation = std::max<std::int64_t>(seen.round.status.incarnation, 1);
    members_ = incarnation_of(seen.pods, kRole, incarnation);
    clients_ = incarnation_of(seen.pods, kClientRole, incarnation);
  }

  bool conclude(Pass& pass) override {
    const std::optional<std::string> claim =
        success_without_evidence(pass, members_.current, kNotOurs + " in spec.aggregator.template");
    const bool over = !members_.current.empty() && fate_of(*members_.current.front()) == PodFate::kSucceeded;
    if (claim) {
      fail(pass, "SuccessWithoutTraining", *claim);
    } else if (over) {
      succeed_by(pass, *members_.current.front());
    }
    return claim || over;
  }

  void advance(Pass& pass) override {
    if (judge_aggregator(pass, spec_, members_) || judge_clients(pass, spec_, clients_) ||
        replace_waiting(pass, clients_.current))
      return;
    for (const Pod* pod : members_.older) remove_pod(pass, *pod);
    remove_outdated_clients(pass, clients_);
    if (!creation_blocked(pass, true)) {
      if (pass.seen.service == ServiceState::kAbsent)
        pass.act(CreateService{service_manifest(pass.meta, kKind, true)});
      const RoundImages images = images_of_incarnation(pass, spec_);
      create_aggregator(pass, spec_, images, members_);
      create_clients(pass, spec_, images, clients_);
    }
    std::vector<const Pod*> wanted = clients_.current;
    bool running = false;
    if (!members_.current.empty()) {
      const Pod& aggregator = *members_.current.front();
      pass.after.formed_incarnation = pass.after.incarnation;
      running = aggregator.phase == PodPhase::kRunning;
      configure(pass, spec_, for_pods_, aggregator, clients_.current);
      fold_aggregator(pass, aggregator);
      note_progress(pass, {"round", "configured", "reported", "late", "dropped"});
      if (stands_still(pass, spec_.run_policy, agent_status_of(pass, aggregator).has_value(),
                       made(pass, "round")))
        return;
      if (integer(member(pass.after.progress, "round")) > integer(member(pass.before.progress, "round")))
        forget_failures(pass);
      wanted.insert(wanted.begin(), &aggregator);
    }
    renew_credentials(pass, wanted);
    tell_rejections(pass, wanted);
    tell_refusals(pass);
    tell_silence(pass, wanted);
    tell_readiness(pass, wanted, spec_.client_pods() + 1, running, true);
    judge_pending(pass, spec_.run_policy);
  }

  [[nodiscard]] std::vector<PodSet> pod_sets(const Pass& pass) const override {
    const RoundImages images = images_of_incarnation(pass, spec_);
    return {
        {.role = kRole, .count = 1, .pod = aggregator_manifest(pass, spec_, images)},
        {.role = kClientRole, .count = spec_.client_pods(), .pod = client_manifest(pass, spec_, images, 0)}};
  }

 private:
  const api::FederatedRoundSpec& spec_;
  const std::string& for_pods_;
  Incarnation members_, clients_;
};

}  // namespace

Decision reconcile(const ObservedRound& seen) {
  ObjectPolicy policy{.meta = seen.round.meta,
                      .kind = kKind,
                      .status = seen.round.status,
                      .selector_role = "",
                      .roles = {kRole, kClientRole}};
  policy.managed_elsewhere = seen.round.managed_elsewhere;
  if (!seen.round.spec) {
    policy.unreadable = &seen.round.spec.error();
    return run_object(seen, policy, nullptr);
  }
  const api::FederatedRoundSpec& spec = *seen.round.spec;
  policy.suspend = spec.suspend;
  policy.pods_wanted = spec.client_pods() + 1;
  policy.run_policy = spec.run_policy;
  policy.recorded = {.roles = {{.role = kRole, .count = 1, .pod_template = &spec.aggregator_template}},
                     .default_image = seen.defaults.aggregator_image};
  if (spec.client_pods() > 0)
    policy.recorded.roles.push_back(
        {.role = kClientRole, .count = spec.client_pods(), .pod_template = &spec.client_template});
  RoundBody body(spec, seen);
  return run_object(seen, policy, &body);
}

}  // namespace muster::op
