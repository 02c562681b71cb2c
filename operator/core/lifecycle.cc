// operator/core/lifecycle.cc: the turns in an object's life, as changes of its status
#include "operator/core/lifecycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "operator/core/credentials.h"
#include "operator/core/silence.h"

namespace muster::op {
namespace {

constexpr std::int64_t kBackoffMaxSeconds = 60;

WallTime whole_second(WallTime time) { return std::chrono::floor<std::chrono::seconds>(time); }

void no_longer(Pass& pass, const char* type, const std::string& reason, const std::string& message) {
  if (api::is_true(pass.after.conditions, type)) pass.condition(type, false, reason, message);
}

// None of the pods counts any more. Keeps the number of pods wanted: "4/4" becomes "0/4".
void no_pods(api::JobStatus& status) {
  status.replicas = 0;
  status.ready_replicas = 0;
  if (const auto slash = status.ready.find('/'); slash != std::string::npos)
    status.ready = "0" + status.ready.substr(slash);
}

void no_gang(Pass& pass, const std::string& reason, const std::string& message) {
  if (api::find_condition(pass.after.conditions, "GangScheduled") != nullptr)
    pass.condition("GangScheduled", false, reason, message);
}

// The pace was that of pods that are gone.
void forget_time_left(api::JobStatus& status) {
  if (status.progress.is_object()) status.progress.erase("timeLeft");
}

void next_incarnation(Pass& pass) {
  pass.after.incarnation += 1;
  pass.after.membership += 1;  // other pods: another roster
  pass.after.roster.clear();
  pass.after.servers.clear();
  pass.after.holders = 0;
  pass.after.last_failure_time.reset();
  pass.after.succeeded_ranks.clear();
  pass.after.state_digest.clear();
  no_pods(pass.after);
  forget_time_left(pass.after);
}

void finish(Pass& pass, const char* type, const std::string& reason, const std::string& message) {
  pass.after.phase = type;
  pass.after.completion_time = whole_second(pass.seen.now);
  no_pods(pass.after);
  forget_time_left(pass.after);
  pass.condition(type, true, reason, message);
  for (const char* other : {"Running", "Restarting", "Suspended", kPodsSilent})
    no_longer(pass, other, reason, message);
  // Whatever the pods were waited for, nobody waits for them now.
  pass.condition("PodsReady", false, reason, message);
  no_gang(pass, reason, message);
}

}  // namespace

void start(Pass& pass) {
  api::JobStatus& status = pass.after;
  if (status.incarnation == 0) status.incarnation = 1;
  if (status.membership == 0) status.membership = 1;
  if (!status.start_time) status.start_time = whole_second(pass.seen.now);
  if (!api::find_condition(status.conditions, "Initialized"))
    pass.condition("Initialized", true, "Accepted", "the spec is valid; the pods are being created");
  if (status.phase.empty()) status.phase = "Pending";
}

namespace {

// False: once too often, and the object has failed.
bool may_restart(Pass& pass, Cause cause, const std::string& message, std::int64_t restarts_max) {
  const std::int64_t restarts = pass.after.restarts;
  if (cause != Cause::kFailure || restarts < restarts_max) return true;
  fail(pass, "MaxRestartsExceeded",
       with_note(message,
                 fmt::format("restarted {} times, runPolicy.maxRestarts is {}", restarts, restarts_max)));
  return false;
}

// `event`: its reason.
void tell_restart(Pass& pass, Cause cause, const std::string& message, const char* event,
                  std::int64_t restarts_max) {
  api::JobStatus& status = pass.after;
  if (cause == Cause::kFailure) status.restarts += 1;
  if (cause == Cause::kDisruption) status.disruptions += 1;
  if (cause != Cause::kScale) status.last_restart_time = whole_second(pass.seen.now);
  status.phase = "Restarting";
  const char* reason = cause == Cause::kDisruption ? "PodDisrupted"
                       : cause == Cause::kScale    ? "Scaled"
                                                   : "PodFailed";
  pass.condition("Restarting", true, reason, message);
  no_longer(pass, "Running", "Restarting", message);
  switch (cause) {
    case Cause::kFailure:
    case Cause::kCounted:
      pass.event("Warning", event,
                 with_note(message, fmt::format("restart {} of {}", status.restarts, restarts_max)));
      break;
    case Cause::kDisruption:
      pass.event("Normal", event, with_note(message, "not counted as a restart"));
      break;
    case Cause::kScale: pass.event("Normal", "Scaled", message); break;
  }
}

}  // namespace

bool restart_for_authority(Pass& pass, const std::vector<const Pod*>& pods) {
  const auto found =
      std::ranges::find_if(pods, [&](const Pod* pod) { return has_other_authority(pass.seen, *pod); });
  if (found == pods.end()) return false;
  restart(pass, Cause::kDisruption, other_authority(pass, **found), 0);
  return true;
}

void restart(Pass& pass, Cause cause, const std::string& message, std::int64_t restarts_max) {
  if (!may_restart(pass, cause, message, restarts_max)) return;
  next_incarnation(pass);
  pass.condition("PodsReady", false, "Restarting", message);
  tell_restart(pass, cause, message, "Restarting", restarts_max);
}

void restart_in_place(Pass& pass, Cause cause, const std::string& message, std::int64_t restarts_max) {
  if (!may_restart(pass, cause, message, restarts_max)) return;
  pass.after.membership += 1;
  pass.after.roster.clear();
  pass.after.succeeded_ranks.clear();
  forget_time_left(pass.after);
  tell_restart(pass, cause, message, "RestartingInPlace", restarts_max);
}

void suspend(Pass& pass, std::int64_t pods_wanted, const Hold& hold) {
  pass.after.ready = fmt::format("0/{}", pods_wanted);
  const bool already = api::is_true(pass.after.conditions, "Suspended");
  for (const auto& [type, status] : {std::pair{"Suspended", true}, {"PodsReady", false}})
    pass.condition(type, status, hold.reason, hold.message);
  no_gang(pass, hold.reason, hold.message);
  if (already) return;
  if (pass.after.incarnation > 0) next_incarnation(pass);
  pass.after.phase = "Suspended";
  for (const char* other : {"Running", "Restarting", kPodsSilent})
    no_longer(pass, other, hold.reason, hold.message);
  pass.event("Normal", hold.reason, hold.message + "; there are no pods meanwhile");
}

void resume(Pass& pass) {
  if (!api::is_true(pass.after.conditions, "Suspended")) return;
  pass.after.start_time = whole_second(pass.seen.now);
  pass.after.phase = "Pending";
  pass.condition("Suspended", false, "Resumed", "pods are wanted again");
  pass.event("Normal", "Resumed", "resumed; the active deadline starts anew");
}

void succeed(Pass& pass, const std::string& message) {
  finish(pass, "Succeeded", "Completed", message);
  pass.event("Normal", "Succeeded", message);
}

void fail(Pass& pass, const std::string& reason, const std::string& message) {
  finish(pass, "Failed", reason, message);
  pass.event("Warning", reason, message);
}

bool deadline_passed(Pass& pass, const std::optional<std::int64_t>& active_deadline_seconds) {
  if (!active_deadline_seconds || !pass.after.start_time) return false;
  if (!pass.is_due(*pass.after.start_time + std::chrono::seconds(*active_deadline_seconds))) return false;
  fail(pass, "DeadlineExceeded",
       fmt::format("not done within runPolicy.activeDeadlineSeconds ({} s)", *active_deadline_seconds));
  return true;
}

std::optional<WallTime> create_not_before(const api::JobStatus& status) {
  const std::int64_t past = status.restarts + status.disruptions;
  if (past < 2 || !status.last_restart_time) return std::nullopt;
  const std::int64_t seconds =
      std::min(kBackoffMaxSeconds, std::int64_t{1} << std::min<std::int64_t>(past - 2, 30));
  return *status.last_restart_time + std::chrono::seconds(seconds);
}

bool children_invalid(Pass& pass) {
  const auto& obstacle = pass.seen.obstacle;
  if (!obstacle || obstacle->kind != Obstacle::Kind::kInvalid || pass.before.formed_incarnation > 0)
    return false;
  fail(pass, "InvalidSpec",
       obstacle->message + "; correct the pod template: the object is looked at again when it is changed");
  return true;
}

bool may_begin_anew(const api::JobStatus& status, std::int64_t generation) {
  const api::Condition* failed = api::find_condition(status.conditions, "Failed");
  return failed != nullptr && failed->status && failed->reason == "InvalidSpec" &&
         status.formed_incarnation == 0 && generation > status.observed_generation;
}

void begin_anew(Pass& pass) {
  const std::string message = "the spec was changed before anything had run, and is looked at again";
  if (pass.after.incarnation > 0) next_incarnation(pass);  // some pods of the refused one may be there
  pass.after.phase.clear();
  pass.after.start_time.reset();
  pass.after.completion_time.reset();
  pass.condition("Failed", false, "SpecChanged", message);
  pass.event("Normal", "SpecChanged", message);
}

// A template that has worked may be changed only while the object is suspended.
bool is_new_template(const api::JobStatus& status) {
  if (status.formed_incarnation == 0) return true;
  const api::Condition* suspended = api::find_condition(status.conditions, "Suspended");
  return suspended != nullptr && status.formed_incarnation < status.incarnation &&
         (!status.last_restart_time || *status.last_restart_time <= suspended->last_transition);
}

void refuse_spec(Pass& pass, const std::string& message) {
  if (pass.before.incarnation == 0 || pass.before.finished()) {
    fail(pass, "InvalidSpec", message);
    return;
  }
  const api::Condition* told = api::find_condition(pass.before.conditions, "Initialized");
  if (told != nullptr && !told->status && told->message == message) return;
  const std::string note = "this operator cannot read the spec; the pods are left as they are";
  pass.condition("Initialized", false, "InvalidSpec", message);
  pass.event("Warning", "InvalidSpec", note + ": " + message);
}

Status check_name(const std::string& name) {
  if (name.size() > api::kNameMax) {
    return invalid_argument(
        fmt::format("metadata.name: {} has {} characters, at most {} leave room for the names of its pods",
                    name, name.size(), api::kNameMax));
  }
  const auto allowed = [](unsigned char c) {
    return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '-';
  };
  if (name.empty() || std::islower(static_cast<unsigned char>(name.front())) == 0 || name.back() == '-' ||
      !std::all_of(name.begin(), name.end(), allowed)) {
    return invalid_argument(
        fmt::format("metadata.name: {} must begin with a letter and hold only lower-case letters, digits and "
                    "-, as it names a Service",
                    name));
  }
  return {};
}

}  // namespace muster::op
