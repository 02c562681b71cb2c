// operator/core/reconcile_distributed_job.cc: what to do next for one DistributedJob
#include "operator/core/reconcile_distributed_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <span>

#include "common/json/access.h"
#include "common/spec/pod_templates.h"
#include "operator/core/configure.h"
#include "operator/core/credentials.h"
#include "operator/core/deadlines.h"
#include "operator/core/elastic.h"
#include "operator/core/failure_policy.h"
#include "operator/core/gang.h"
#include "operator/core/in_place.h"
#include "operator/core/incarnation.h"
#include "operator/core/incarnation_image.h"
#include "operator/core/lifecycle.h"
#include "operator/core/members.h"
#include "operator/core/pod_attempts.h"
#include "operator/core/pod_plan.h"
#include "operator/core/progress.h"
#include "operator/core/run_object.h"
#include "operator/core/servers.h"
#include "operator/core/silence.h"
#include "operator/core/worker_failures.h"

namespace muster::op {
namespace {

constexpr const char* kKind = "DistributedJob";
constexpr const char* kRole = "worker";

// `in_place`: a command that is asked to end, since its pod leaves, may end with 0.
void note_succeeded(Pass& pass, const std::vector<const Pod*>& workers, bool in_place) {
  auto& done = pass.after.succeeded_ranks;
  for (const Pod* pod : workers) {
    if (in_place && !is_member(pass.before, *pod)) continue;
    if (fate_of(*pod) != PodFate::kSucceeded || is_done(pass.after, pod->index)) continue;
    done.insert(std::upper_bound(done.begin(), done.end(), pod->index), pod->index);
  }
}

// The training is done once those who hold its state are: whoever was about to join them has nothing to add.
bool holders_succeeded(const api::JobStatus& status) {
  const auto all = std::ssize(status.roster);
  const auto count = status.holders > 0 ? std::min<std::int64_t>(status.holders, all) : all;
  const std::span<const api::RosterMember> holders(status.roster.begin(), static_cast<std::size_t>(count));
  return !holders.empty() &&
         std::ranges::all_of(holders, [&status](const auto& each) { return is_done(status, each.index); });
}

// Every worker has succeeded.
bool all_succeeded(const api::JobStatus& status, const std::vector<const Pod*>& workers,
                   const api::DistributedJobSpec& spec) {
  const bool told = !workers.empty() && workers.front()->world_size > 0;
  std::int64_t members = told ? workers.front()->world_size : spec.workers.replicas;
  if (spec.restarts_in_place() && !status.roster.empty()) members = std::ssize(status.roster);
  return members > 0 && std::ssize(status.succeeded_ranks) >= members;
}

// Takes those out of `workers` that start anew alone.
std::vector<const Pod*> take_replaced(const api::JobStatus& status, std::vector<const Pod*>& workers) {
  const auto from = std::stable_partition(workers.begin(), workers.end(),
                                          [&](const Pod* pod) { return !is_replaced(status, *pod); });
  std::vector<const Pod*> replaced(from, workers.end());
  workers.erase(from, workers.end());
  return replaced;
}

// What the pods of a role, and of its template, have in common.
PodPlan plan_of(const Pass& pass, const api::DistributedJobSpec& spec, const char* role,
                const Json& pod_template, const std::string& image, std::int64_t index) {
  return {.owner = pass.meta,
          .kind = kKind,
          .role = role,
          .index = index,
          .incarnation = pass.after.incarnation,
          .pod_template = pod_template,
          .default_image = image,
          .topology_key = spec.workers.topology_key,
          .ca = pass.seen.ca};
}

// `image`: of image_of_incarnation.
Json worker_manifest(const Pass& pass, const api::DistributedJobSpec& spec, const std::string& image,
                     std::int64_t index) {
  PodPlan plan = plan_of(pass, spec, kRole, spec.workers.pod_template, image, index);
  plan.attempt = attempts(pass.before, kRole, index);
  plan.world_size = spec.training ? 0 : spec.workers.replicas;
  plan.image_is_ours = spec.training.has_value();
  plan.in_place = spec.restarts_in_place();
  plan.exec_image = pass.seen.defaults.exec_image;
  plan.beside_program = spec.training && spec.training->program;
  if (plan.beside_program) plan.sidecar_resources = spec.training->program->resources;
  if (plan.beside_program && spec.training->checkpoint)
    plan.checkpoint_path = spec.training->checkpoint->path;
  plan.rendezvous = spec.workers.rendezvous;
  plan.shared_memory = spec.workers.shared_memory;
  plan.progress_url = pass.seen.defaults.progress_url;
  return pod_manifest(plan);
}

Json server_manifest(const Pass& pass, const api::DistributedJobSpec& spec, const std::string& image,
                     std::int64_t index) {
  PodPlan plan = plan_of(pass, spec, kServerRole, server_template(spec), image, index);
  plan.attempt = attempts(pass.before, kServerRole, index);
  Json manifest = pod_manifest(plan);
  // That of the workers, with which it is one gang.
  if (std::string scheduler = named_scheduler(spec.workers.pod_template);
      !scheduler.empty() && named_scheduler(manifest).empty())
    manifest["spec"]["schedulerName"] = std::move(scheduler);
  return manifest;
}

// One of ours that is replaced while it lives has been given up: it stands still, or is out of reach.
constexpr std::int64_t kGivenUpGraceSeconds = 1;

void remove_replaced(Pass& pass, const std::vector<const Pod*>& replaced, bool ours) {
  for (const Pod* pod : replaced) {
    const bool given_up = ours && fate_of(*pod) == PodFate::kAlive && pod->phase == PodPhase::kRunning;
    remove_pod(pass, *pod, given_up ? std::optional(kGivenUpGraceSeconds) : std::nullopt);
  }
}

// How many were missing. `replaced`: their names are taken until they are gone.
std::int64_t create_servers(Pass& pass, const api::DistributedJobSpec& spec,
                            const std::vector<const Pod*>& present, const std::vector<const Pod*>& replaced,
                            Gang gang, const std::string& image) {
  std::int64_t created = 0;
  CredentialsBlocks keys(pass, kServerRole);
  for (std::int64_t index = 0; index < servers_wanted(spec); ++index) {
    if (std::ranges::find(present, index, &Pod::index) != present.end()) continue;
    if (std::ranges::find(replaced, index, &Pod::index) != replaced.end()) continue;
    if (is_held_back(pass, kServerRole, index)) continue;
    ++created;
    keys.before_pod(index);
    Json manifest = server_manifest(pass, spec, image, index);
    join_gang(pass, gang, spec.workers.replicas + servers_wanted(spec), manifest);
    create_pod(pass, kServerRole, spec::kServerTemplate.path, std::move(manifest));
  }
  return created;
}

// Creates what is missing, once every pod of an older incarnation is gone: two pods of one rank break a
// rendezvous. `replaced`: their names are taken until they are gone.
void create_missing(Pass& pass, const api::DistributedJobSpec& spec, const Incarnation& members,
                    const std::vector<const Pod*>& replaced, const Incarnation& servers,
                    const std::vector<const Pod*>& replaced_servers) {
  const bool ours = spec.training.has_value();
  remove_older(pass, members);
  remove_older(pass, servers);
  remove_replaced(pass, replaced, ours);
  remove_replaced(pass, replaced_servers, ours);
  if (creation_blocked(pass, !ours)) return;
  if (!ours && pass.seen.service == ServiceState::kAbsent)  // our workers have addresses by the roster
    pass.act(CreateService{service_manifest(pass.meta, kKind, false, spec.workers.rendezvous.master_port)});
  if (!members.older.empty() || !servers.older.empty()) return;
  // Beside a membership each worker that is replaced has its own time.
  if (const auto when = create_not_before(pass.after);
      when && pass.before.roster.empty() && !pass.is_due(*when))
    return;
  const bool fresh = members.current.empty() && replaced.empty() && pass.after.succeeded_ranks.empty();
  const auto gang =
      prepare_gang(pass,
                   {.choice = spec.gang,
                    .pod_template = spec.workers.pod_template,
                    .pods = spec.workers.replicas + servers_wanted(spec),
                    .server_template = servers_wanted(spec) > 0 ? &server_template(spec) : nullptr},
                   fresh);
  if (!gang) {
    static_cast<void>(creation_blocked(pass, !ours));
    return;
  }
  std::set<std::int64_t> present;
  for (const Pod* pod : members.current) present.insert(pod->index);
  for (const Pod* pod : replaced) present.insert(pod->index);
  present.insert(pass.after.succeeded_ranks.begin(), pass.after.succeeded_ranks.end());
  const std::string image = image_of_incarnation(pass, spec);
  std::int64_t created = create_servers(pass, spec, servers.current, replaced_servers, *gang, image);
  CredentialsBlocks keys(pass, kRole);
  for (std::int64_t index = 0; index < spec.workers.replicas; ++index) {
    if (present.contains(index)) continue;
    if (is_held_back(pass, kRole, index)) continue;
    ++created;
    if (ours || spec.restarts_in_place()) keys.before_pod(index);
    if (!ours && created == 1 && !pass.seen.defaults.progress_url.empty()) make_token(pass);
    Json manifest = worker_manifest(pass, spec, image, index);
    join_gang(pass, *gang, spec.workers.replicas + servers_wanted(spec), manifest);
    create_pod(pass, kRole, spec::kWorkerTemplate.path, std::move(manifest));
  }
  if (created > 0) {
    pass.event("Normal", "PodsCreated",
               fmt::format("created {} pods of incarnation {}", created, pass.after.incarnation));
  }
}

bool all_running(const std::vector<const Pod*>& workers, std::int64_t wanted) {
  const auto began = [](const Pod* pod) {
    return pod->phase == PodPhase::kRunning || pod->phase == PodPhase::kSucceeded;
  };
  return std::ssize(workers) == wanted && std::all_of(workers.begin(), workers.end(), began);
}

void fold_members(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers) {
  const std::vector<const Pod*> members = ranked(pass.before, workers);
  fold_workers(
      pass, members, rank_0_of(pass.before, workers),
      spec.training->batch_size * (spec.synchronization.is_asynchronous() ? 1 : std::ssize(members)));
}

bool rank_0_tells(const Pass& pass, const std::vector<const Pod*>& workers) {
  const Pod* rank_0 = rank_0_of(pass.before, workers);
  return rank_0 != nullptr && agent_status_of(pass, *rank_0).has_value();
}

// Without those above `replicas`, who leave.
std::vector<const Pod*> wanted_of(const std::vector<const Pod*>& workers, std::int64_t replicas) {
  std::vector<const Pod*> wanted;
  std::ranges::copy_if(workers, std::back_inserter(wanted),
                       [replicas](const Pod* pod) { return pod->index < replicas; });
  return wanted;
}

// The checkpoint that the job began with was of the last step.
bool nothing_was_left(const api::JobStatus& status) {
  const std::int64_t from = integer(member(status.progress, "resumedFromStep"));
  return from > 0 && from == integer(member(status.progress, "totalSteps"));
}

class JobBody final : public ObjectBody {
 public:
  JobBody(const api::DistributedJobSpec& spec, const ObservedJob& seen)
      : spec_(spec),
        for_pods_(seen.job.for_pods),
        members_(incarnation_of(seen.pods, kRole, std::max<std::int64_t>(seen.job.status.incarnation, 1))),
        replaced_(take_replaced(seen.job.status, members_.current)),
        servers_(
            incarnation_of(seen.pods, kServerRole, std::max<std::int64_t>(seen.job.status.incarnation, 1))),
        replaced_servers_(take_replaced(seen.job.status, servers_.current)) {}

  bool conclude(Pass& pass) override {
    const std::vector<const Pod*>& workers = members_.current;
    if (spec_.training) {
      const std::string remedy = spec_.training->program
                                     ? "a program is done when job.batches is (MUSTER_END in C), or, with "
                                       "init_process_group, when it "
                                       "exits after it has made its group; let it go on until then"
                                     : kNotOurs + ", or spec.training";
      if (const auto claim = success_without_evidence(pass, with_servers(workers), remedy)) {
        fail(pass, "SuccessWithoutTraining", *claim);
        return true;
      }
    }
    note_succeeded(pass, workers, spec_.restarts_in_place());
    if (!spec_.training) fold_report(pass);  // a program's last one may come just before its end
    if (spec_.success_policy == "Rank0" && is_done(pass.after, 0)) {
      succeed(pass, "worker 0 succeeded, which is what spec.successPolicy Rank0 asks for");
      return true;
    }
    const bool formed = spec_.training && !pass.before.roster.empty();
    if (formed ? !holders_succeeded(pass.after) : !all_succeeded(pass.after, workers, spec_)) return false;
    if (spec_.training) {
      fold_members(pass, spec_, workers);
      const auto diverged = spec_.synchronization.is_gossip()  // then each has a model of its own
                                ? std::nullopt
                                : parameters_diverged(pass, ranked(pass.before, workers));
      // A program's steps are its own: other processors may round them otherwise.
      if (diverged && spec_.training->program) {
        pass.event("Warning", "ParametersDiverged", *diverged + "; the model is that of rank 0");
      } else if (diverged) {
        fail(pass, "ParametersDiverged", *diverged);
        return true;
      }
    }
    succeed(pass, fmt::format("all {} workers succeeded{}", pass.after.succeeded_ranks.size(),
                              nothing_was_left(pass.after) ? "; the training was finished already" : ""));
    return true;
  }

  void advance(Pass& pass) override {
    const std::vector<const Pod*>& workers = members_.current;
    const std::vector<const Pod*>& servers = servers_.current;
    if (spec_.training && judge_servers(pass, spec_, servers, workers)) return;
    const bool in_place = spec_.restarts_in_place();
    const bool over = spec_.training ? tend_members(pass, spec_, workers, servers)
                      : in_place     ? tend_in_place(pass, spec_, workers)
                                     : judge_workers(pass, spec_, workers);
    if (over || replace_waiting(pass, with_servers(workers))) return;
    create_missing(pass, spec_, members_, replaced_, servers_, replaced_servers_);
    const std::vector<const Pod*> here = wanted_of(workers, spec_.workers.replicas);
    const std::int64_t wanted = spec_.workers.replicas - done_and_gone(pass.after, here);
    const std::int64_t all = wanted + servers_wanted(spec_);
    tell_gang(pass, with_servers(here), all);
    if (std::ssize(here) + std::ssize(servers) == all) pass.after.formed_incarnation = pass.after.incarnation;
    if (spec_.training) {
      remove_surplus(pass, spec_, workers);
      configure(pass, {.spec = spec_, .for_pods = for_pods_, .workers = workers, .servers = servers});
      fold_members(pass, spec_, workers);
      note_progress(pass, {"step"});
      if (stands_still(pass, spec_.run_policy, rank_0_tells(pass, workers), made(pass, "step"))) return;
    } else {
      if (in_place) configure_in_place(pass, spec_, workers, replaced_);
      if (program_stands_still(pass)) return;
    }
    if (spec_.training || in_place) {
      renew_credentials(pass, with_servers(workers));
      tell_rejections(pass, with_servers(workers));
      tell_refusals(pass);
      tell_silence(pass, with_servers(workers));
    }
    const bool running = is_running(pass, here, wanted) && all_running(servers, servers_wanted(spec_));
    tell_readiness(pass, with_servers(here), spec_.workers.replicas + servers_wanted(spec_), running,
                   !spec_.training);
    // Of /scale, whose selector knows the workers alone.
    pass.after.replicas =
        std::ranges::count_if(here, [](const Pod* pod) { return fate_of(*pod) == PodFate::kAlive; });
    judge_pending(pass, spec_.run_policy);
  }

  [[nodiscard]] std::vector<PodSet> pod_sets(const Pass& pass) const override {
    const std::string image = image_of_incarnation(pass, spec_);
    std::vector<PodSet> sets{
        {.role = kRole, .count = spec_.workers.replicas, .pod = worker_manifest(pass, spec_, image, 0)}};
    if (const std::int64_t servers = servers_wanted(spec_); servers > 0)
      sets.push_back({.role = kServerRole, .count = servers, .pod = server_manifest(pass, spec_, image, 0)});
    return sets;
  }

 private:
  // True when the pass is over.
  bool program_stands_still(Pass& pass) const {
    // How long is left is no progress: it may come from a clock.
    note_progress(pass, {"percent", "metrics"});
    // Of a program that has never told anything nobody can say that it stands still.
    const bool tells = pass.after.progress.is_object();
    const std::string what = "progress was told";
    if (!spec_.restarts_in_place()) return stands_still(pass, spec_.run_policy, tells, what);
    const auto words = standstill_of(pass, spec_.run_policy, tells, what);
    if (words) restart_in_place(pass, Cause::kFailure, *words, spec_.run_policy.max_restarts);
    return words.has_value();
  }

  [[nodiscard]] std::vector<const Pod*> with_servers(std::vector<const Pod*> workers) const {
    workers.insert(workers.end(), servers_.current.begin(), servers_.current.end());
    return workers;
  }

  // All pods run; of a training whose membership is formed, its members do.
  [[nodiscard]] bool is_running(const Pass& pass, const std::vector<const Pod*>& here,
                                std::int64_t wanted) const {
    if (spec_.restarts_in_place()) return commands_run(pass, spec_, here);
    if (!spec_.training || pass.after.roster.empty()) return all_running(here, wanted);
    return may_work(pass.after, spec_) &&
           std::ssize(servers_of(pass.after.servers, servers_.current)) == servers_wanted(spec_) &&
           all_running(ranked(pass.after, members_.current), std::ssize(pass.after.roster));
  }

  const api::DistributedJobSpec& spec_;
  const std::string& for_pods_;
  Incarnation members_;
  std::vector<const Pod*> replaced_;  // were part of members_.current
  Incarnation servers_;
  std::vector<const Pod*> replaced_servers_;  // were part of servers_.current
};

}  // namespace

Decision reconcile(const ObservedJob& seen) {
  ObjectPolicy policy{.meta = seen.job.meta,
                      .kind = kKind,
                      .status = seen.job.status,
                      .selector_role = kRole,
                      .roles = {kRole, kServerRole}};
  policy.managed_elsewhere = seen.job.managed_elsewhere;
  if (!seen.job.spec) {
    policy.unreadable = &seen.job.spec.error();
    return run_object(seen, policy, nullptr);
  }
  const api::DistributedJobSpec& spec = *seen.job.spec;
  policy.suspend = spec.suspend || spec.workers.replicas == 0;
  policy.pods_wanted = spec.workers.replicas == 0 ? 0 : spec.workers.replicas + servers_wanted(spec);
  policy.agents = spec.training.has_value() || spec.restarts_in_place();
  policy.all_agents = spec.restarts_in_place();
  policy.run_policy = spec.run_policy;
  policy.recorded = {
      .roles = {{.role = kRole, .count = spec.workers.replicas, .pod_template = &spec.workers.pod_template}},
      .default_image = seen.defaults.worker_image};
  if (const std::int64_t servers = servers_wanted(spec); servers > 0)
    policy.recorded.roles.push_back(
        {.role = kServerRole, .count = servers, .pod_template = &server_template(spec)});
  JobBody body(spec, seen);
  return run_object(seen, policy, &body);
}

}  // namespace muster::op
