// exec/machine.cc: the states of muster-exec
#include "exec/machine.h"

#include <utility>

#include "pod/pod_contract.h"

namespace muster::exec {
namespace {

constexpr int kTerminate = 15;  // SIGTERM, everywhere

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

}  // namespace

Machine::Machine(std::string job_uid, std::string pod_uid, Instant now)
    : job_uid_(std::move(job_uid)), deadline_(now + kPatience) {
  told_.pod_uid = std::move(pod_uid);
  show(Phase::kWaiting, "");
}

void Machine::show(Phase phase, std::string message) {
  told_.membership = newest_.membership;
  told_.phase = phase;
  told_.message = std::move(message);
  told_.ready = state_ == State::kReady;
}

Result<std::vector<Effect>> Machine::assign(const Assignment& assignment, Instant now) {
  const auto denied = [](std::string words) { return Error{Code::kPermissionDenied, std::move(words)}; };
  if (state_ == State::kLeaving || state_ == State::kOver) return unavailable("the pod is ending");
  if (assignment.uid != job_uid_)
    return denied("the assignment is of the object with uid " + quoted(assignment.uid) +
                  ", this pod belongs to " + quoted(job_uid_));
  if (!assignment.pod_uid.empty() && assignment.pod_uid != told_.pod_uid)
    return denied("the assignment means pod " + quoted(assignment.pod_uid) + ", this is pod " +
                  quoted(told_.pod_uid));
  if (!assignment.for_exec)
    return invalid_argument("the assignment is not for muster-exec, which this pod runs: delete the pod");
  if (assignment.membership < 1) return invalid_argument("membership: must be at least 1");
  if (assignment.membership < newest_.membership)
    return failed_precondition("the assignment is of membership " + std::to_string(assignment.membership) +
                               ", this pod is of " + std::to_string(newest_.membership) + " already");
  const bool next = assignment.membership > newest_.membership;
  if (!next && assignment.start && newest_.start && assignment.environment != newest_.environment)
    return failed_precondition("this pod has other variables for membership " +
                               std::to_string(newest_.membership) + " already: delete the pod");
  if (next || (assignment.start && !newest_.start)) newest_ = assignment;
  switch (state_) {
    case State::kWaiting:
    case State::kBroken:
      if (next) return become_ready(now);
      break;
    case State::kReady: return become_ready(now);
    case State::kRunning:
      if (!next) break;
      state_ = State::kEnding;
      deadline_ = now + kGrace;
      show(Phase::kStarting, "");
      return std::vector<Effect>{Pass{kTerminate}};
    case State::kEnding:
    case State::kKilling: show(Phase::kStarting, told_.message); break;
    case State::kLeaving:
    case State::kOver: break;
  }
  return std::vector<Effect>{};
}

// Nothing runs: what the newest assignment says is done.
std::vector<Effect> Machine::become_ready(Instant now) {
  if (!newest_.start) {
    state_ = State::kReady;
    deadline_ = now + kPatience;
    show(Phase::kStarting, "");
    return {};
  }
  state_ = State::kRunning;
  deadline_.reset();
  told_.starts += 1;
  told_.end.reset();
  show(Phase::kRunning, "");
  return {Start{.membership = newest_.membership, .environment = newest_.environment}};
}

Status Machine::check(const WatchRequest& request) const {
  if (!request.pod_uid.empty() && request.pod_uid != told_.pod_uid)
    return Error{Code::kPermissionDenied, "the follower means pod " + quoted(request.pod_uid) +
                                              ", this is pod " + quoted(told_.pod_uid)};
  if (request.membership == 0 || newest_.membership <= request.membership) return {};
  return failed_precondition("this pod is of membership " + std::to_string(newest_.membership) +
                             ", the follower knows of " + std::to_string(request.membership) + " only");
}

std::vector<Effect> Machine::ended(int exit_code, std::string words, Instant now) {
  switch (state_) {
    case State::kEnding:
    case State::kKilling: return become_ready(now);
    case State::kLeaving: return end(exit_code, "");
    case State::kRunning: break;
    default: return {};
  }
  if (exit_code == 0) return end(0, "");
  return broken({.membership = newest_.membership, .exit_code = exit_code, .words = std::move(words)}, now);
}

std::vector<Effect> Machine::not_started(int exit_code, std::string words, Instant now) {
  if (state_ != State::kRunning) return {};
  return broken({.membership = newest_.membership, .exit_code = exit_code, .words = std::move(words)}, now);
}

std::vector<Effect> Machine::broken(CommandEnd end, Instant now) {
  state_ = State::kBroken;
  deadline_ = now + kPatience;
  told_.end = std::move(end);
  show(Phase::kWaiting, "the command has ended with code " + std::to_string(told_.end->exit_code));
  return {};
}

std::vector<Effect> Machine::end(int exit_code, std::string words) {
  state_ = State::kOver;
  deadline_.reset();
  return {End{.exit_code = exit_code, .words = std::move(words)}};
}

std::vector<Effect> Machine::signalled(int number, Instant /*now*/) {
  const bool runs = state_ == State::kRunning || state_ == State::kEnding || state_ == State::kKilling ||
                    state_ == State::kLeaving;
  if (number != kTerminate) return runs ? std::vector<Effect>{Pass{number}} : std::vector<Effect>{};
  if (!runs) return end(kExitStopped, "");
  state_ = State::kLeaving;  // how long it may take is the kubelet's to say
  deadline_.reset();
  return {Pass{kTerminate}};
}

void Machine::heard(Instant now) {
  if (state_ == State::kWaiting || state_ == State::kReady || state_ == State::kBroken)
    deadline_ = now + kPatience;
}

std::vector<Effect> Machine::tick(Instant now) {
  if (!deadline_ || now < *deadline_) return {};
  switch (state_) {
    case State::kEnding:
      state_ = State::kKilling;
      deadline_ = now + kGone;
      show(Phase::kStarting, "");
      return {KillAll{}};
    case State::kKilling: return end(kExitRetry, "what the command has started cannot be killed");
    case State::kBroken:
      return end(told_.end->exit_code, "the command has ended, and the operator has not been heard of since");
    default:
      return end(kExitRetry,
                 "the operator has not been heard of in time; is muster-operator running and may it reach "
                 "this pod?");
  }
}

std::optional<Instant> Machine::next_deadline() const { return deadline_; }

}  // namespace muster::exec
