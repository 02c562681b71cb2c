// local/runtime/pod_machine.cc: transitions of a pod
#include "local/runtime/pod_machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "local/runtime/json_access.h"

namespace muster::local {
namespace {

constexpr int kStartErrorCode = 128;

bool is_deleted(const Json& pod) { return member(pod, "metadata", "deletionTimestamp").is_string(); }

std::chrono::seconds grace_of(const Json& pod) {
  const std::int64_t wanted = integer(member(pod, "spec", "terminationGracePeriodSeconds"), 30);
  return std::chrono::seconds(integer(member(pod, "metadata", "deletionGracePeriodSeconds"), wanted));
}

}  // namespace

PodMachine::PodMachine(const Json& pod, std::string pod_ip, std::string host_ip)
    : pod_(pod),
      pod_ip_(std::move(pod_ip)),
      host_ip_(std::move(host_ip)),
      policy_(text(member(pod, "spec", "restartPolicy"), "Always")) {
  const bool waits_for_init = !member(pod, "spec", "initContainers").empty();
  for (const char* group : {"initContainers", "containers"}) {
    const bool init = std::string_view(group) == "initContainers";
    for (const Json& spec : member(pod, "spec", group)) {
      ContainerState container;
      container.name = text(member(spec, "name"));
      container.spec = spec;
      container.reason = waits_for_init ? "PodInitializing" : "ContainerCreating";
      if (init) {
        container.role =
            text(member(spec, "restartPolicy")) == "Always" ? ContainerRole::kSidecar : ContainerRole::kInit;
      }
      containers_.push_back(std::move(container));
    }
  }
}

const ContainerState* PodMachine::find(std::string_view container) const {
  const auto found = std::ranges::find(containers_, container, &ContainerState::name);
  return found == containers_.end() ? nullptr : &*found;
}

ContainerState* PodMachine::find_mutable(std::string_view container) {
  return const_cast<ContainerState*>(find(container));
}

void PodMachine::event(const ContainerState* container, std::string type, std::string reason,
                       std::string message, Effects& out) const {
  out.push_back(RecordEvent{.container = container == nullptr ? "" : container->name,
                            .init = container != nullptr && container->init(),
                            .type = std::move(type),
                            .reason = std::move(reason),
                            .message = std::move(message)});
}

void PodMachine::event_pulled(const ContainerState& container, Effects& out) const {
  event(
      &container, "Normal", "Pulled",
      fmt::format("Container image \"{}\" already present on machine", text(member(container.spec, "image"))),
      out);
}

bool PodMachine::restarts_after(const ContainerState& container, bool failed) const {
  if (container.role == ContainerRole::kSidecar) return true;
  if (container.role == ContainerRole::kInit) return failed && policy_ != "Never";
  return policy_ == "Always" || (policy_ == "OnFailure" && failed);
}

bool PodMachine::done(const ContainerState& container) const {
  if (container.runs()) return false;
  if (stop_at_ || init_failed_) return true;
  return !container.ended.is_null() && !restarts_after(container, !container.ended_well);
}

bool PodMachine::nothing_runs() const {
  return std::ranges::none_of(containers_, [](const ContainerState& container) { return container.runs(); });
}

Effects PodMachine::finish(Moment now, Effects out) {
  advance(now, out);
  refresh(now);
  return out;
}

Effects PodMachine::begin(Moment now) {
  began_ = now;
  if (is_deleted(pod_)) return updated(pod_, now);  // nothing of it is started any more
  return finish(now, {PrepareVolumes{}});
}

Effects PodMachine::prepared(Moment now) {
  prepared_ = true;
  prepare_at_.reset();
  for (ContainerState& container : containers_) container.message.clear();
  return finish(now, {});
}

Effects PodMachine::prepare_failed(const std::string& message, Moment now) {
  Effects out;
  prepare_at_ = now.at + kRetry;
  if (message != prepare_problem_) event(nullptr, "Warning", "FailedMount", message, out);
  prepare_problem_ = message;
  for (ContainerState& container : containers_) container.message = message;
  return finish(now, std::move(out));
}

Effects PodMachine::updated(const Json& pod, Moment now) {
  pod_ = pod;
  if (is_deleted(pod)) {
    const Instant end = now.at + grace_of(pod);
    deleting_ = true;
    stop_at_ = stop_at_ ? std::min(*stop_at_, end) : end;
  }
  return finish(now, {});
}

Effects PodMachine::started(std::string_view name, const std::string& id, Moment now) {
  Effects out;
  ContainerState* container = find_mutable(name);
  if (container == nullptr || container->life != Life::kStarting) return out;
  if (!container->ended.is_null()) ++container->restarts;
  container->life = Life::kRunning;
  container->id = id;
  container->running_since = now;
  container->started = !container->spec.contains("startupProbe") && !has_post_start(container->spec);
  container->ready = container->started && container->role != ContainerRole::kInit &&
                     !container->spec.contains("readinessProbe");
  event_pulled(*container, out);
  event(container, "Normal", "Created", "Created container: " + container->name, out);
  event(container, "Normal", "Started", "Started container " + container->name, out);
  return finish(now, std::move(out));
}

Effects PodMachine::start_failed(std::string_view name, const std::string& message, Moment now) {
  Effects out;
  ContainerState* container = find_mutable(name);
  if (container == nullptr || container->life != Life::kStarting) return out;
  if (!container->ended.is_null()) ++container->restarts;
  event_pulled(*container, out);
  event(container, "Normal", "Created", "Created container: " + container->name, out);
  event(container, "Warning", "Failed", "Error: " + message, out);
  end_run(*container,
          terminated_state(kStartErrorCode, "StartError", message, container->id, std::nullopt, now), true,
          now, out);
  return finish(now, std::move(out));
}

Effects PodMachine::config_failed(std::string_view name, const std::string& reason,
                                  const std::string& message, Moment now) {
  Effects out;
  ContainerState* container = find_mutable(name);
  if (container == nullptr || container->life != Life::kStarting) return out;
  if (container->reason != reason || container->message != message) {
    if (reason == "ErrImageNeverPull") {
      event(container, "Warning", reason, message, out);
    } else {
      event_pulled(*container, out);
    }
    event(container, "Warning", "Failed", "Error: " + (reason == "ErrImageNeverPull" ? reason : message),
          out);
  }
  container->life = Life::kWaiting;
  container->reason = reason;
  container->message = message;
  container->retry_at = now.at + kRetry;
  return finish(now, std::move(out));
}

Effects PodMachine::exited(std::string_view name, int exit_code, const std::string& message, Moment now) {
  Effects out;
  ContainerState* container = find_mutable(name);
  if (container == nullptr || !container->runs()) return out;
  const bool failed = exit_code != 0;
  end_run(*container,
          terminated_state(exit_code, failed ? "Error" : "Completed", message, container->id,
                           container->running_since, now),
          failed, now, out);
  return finish(now, std::move(out));
}

void PodMachine::end_run(ContainerState& container, Json terminated, bool failed, Moment now, Effects& out) {
  container.ended_before = std::move(container.ended);
  container.ended = std::move(terminated);
  container.ended_well = !failed;
  container.life = Life::kEnded;
  container.started = false;
  // An init container that did its work counts as ready.
  container.ready = container.role == ContainerRole::kInit && !failed;
  container.kill_at.reset();
  container.killed = false;
  if (stop_at_ || !restarts_after(container, failed)) return;
  if (container.running_since && now.at - container.running_since->at >= kBackoffForgotten) {
    container.backoff = std::chrono::seconds(0);
  }
  container.retry_at = now.at + container.backoff;
  if (container.backoff.count() > 0) {
    container.life = Life::kWaiting;
    container.reason = "CrashLoopBackOff";
    container.message = fmt::format("back-off {} restarting failed container={} pod={}_{}({})",
                                    go_duration(container.backoff), container.name, name_of(pod_),
                                    namespace_of(pod_), uid_of(pod_));
    event(&container, "Warning", "BackOff",
          fmt::format("Back-off restarting failed container {} in pod {}_{}({})", container.name,
                      name_of(pod_), namespace_of(pod_), uid_of(pod_)),
          out);
  }
  container.backoff =
      container.backoff.count() == 0 ? kBackoffFirst : std::min(container.backoff * 2, kBackoffMax);
}

Effects PodMachine::restart(std::string_view name, const std::string& why, Moment now) {
  Effects out;
  ContainerState* container = find_mutable(name);
  if (container == nullptr || container->life != Life::kRunning || container->kill_at) return out;
  terminate(*container, now.at + grace_of(pod_), why, out);
  return finish(now, std::move(out));
}

void PodMachine::set_started(std::string_view name, bool value, Moment now) {
  ContainerState* container = find_mutable(name);
  if (container == nullptr || container->life != Life::kRunning) return;
  container->started = value;
  if (value && !container->spec.contains("readinessProbe"))
    container->ready = container->role != ContainerRole::kInit;
  refresh(now);
}

void PodMachine::set_ready(std::string_view name, bool value, Moment now) {
  ContainerState* container = find_mutable(name);
  if (container == nullptr || container->life != Life::kRunning) return;
  container->ready = value;
  refresh(now);
}

Effects PodMachine::shut_down(std::chrono::milliseconds grace, Moment now) {
  const Instant end = now.at + grace;
  stop_at_ = stop_at_ ? std::min(*stop_at_, end) : end;
  return finish(now, {});
}

Effects PodMachine::tick(Moment now) { return finish(now, {}); }

void PodMachine::terminate(ContainerState& container, Instant kill_at, const std::string& why, Effects& out) {
  if (container.life != Life::kRunning) return;
  if (!container.kill_at) {
    event(&container, "Normal", "Killing", why, out);
    out.push_back(TerminateContainer{container.name});
  }
  container.kill_at = container.kill_at ? std::min(*container.kill_at, kill_at) : kill_at;
}

void PodMachine::kill_overdue(Moment now, Effects& out) {
  for (ContainerState& container : containers_) {
    if (!container.runs() || container.killed || !container.kill_at || *container.kill_at > now.at) continue;
    container.killed = true;
    out.push_back(KillContainer{container.name});
  }
}

void PodMachine::try_start(ContainerState& container, Moment now, Effects& out) {
  if (container.runs() || done(container)) return;
  if (container.retry_at && *container.retry_at > now.at) return;
  container.retry_at.reset();
  container.life = Life::kStarting;
  out.push_back(StartContainer{container.name});
}

bool PodMachine::advance_init(Moment now, Effects& out) {
  for (ContainerState& container : containers_) {
    if (container.role == ContainerRole::kMain) break;
    if (container.role == ContainerRole::kInit && !container.runs() && container.ended_well) continue;
    if (container.role == ContainerRole::kSidecar && container.life == Life::kRunning && container.started)
      continue;
    if (container.role == ContainerRole::kInit && done(container)) {
      init_failed_ = true;
      return false;
    }
    try_start(container, now, out);
    // A sidecar that started once does not hold up the others while it restarts.
    if (container.role != ContainerRole::kSidecar || container.restarts == 0) return false;
  }
  return true;
}

void PodMachine::advance(Moment now, Effects& out) {
  const std::int64_t limit = integer(member(pod_, "spec", "activeDeadlineSeconds"), -1);
  if (limit >= 0 && began_ && !terminal() && !stop_at_ &&
      now.at >= began_->at + std::chrono::seconds(limit)) {
    reason_ = "DeadlineExceeded";
    message_ = "Pod was active on the node longer than the specified deadline";
    event(nullptr, "Normal", reason_, message_, out);
    stop_at_ = now.at + grace_of(pod_);
  }
  kill_overdue(now, out);
  if (stop_at_) return advance_stop(now, out);
  if (!prepared_) {
    if (prepare_at_ && *prepare_at_ <= now.at) {
      prepare_at_.reset();
      out.push_back(PrepareVolumes{});
    }
    return;
  }
  const auto main = [](const ContainerState& container) { return container.role == ContainerRole::kMain; };
  const bool over =
      init_failed_ || std::ranges::all_of(containers_, [&](const auto& c) { return !main(c) || done(c); });
  if (over || !advance_init(now, out)) {
    if (!over && !init_failed_) return;
    for (ContainerState& container : containers_) container.retry_at.reset();  // nothing is to start again
    for (auto sidecar = containers_.rbegin(); sidecar != containers_.rend(); ++sidecar) {
      if (sidecar->role != ContainerRole::kSidecar || !sidecar->runs()) continue;
      terminate(*sidecar, now.at + grace_of(pod_), "Stopping container " + sidecar->name, out);
    }
    return;
  }
  for (ContainerState& container : containers_) {
    if (main(container)) try_start(container, now, out);
  }
}

// Main containers first, then the sidecars from the last to the first, all before stop_at_.
void PodMachine::advance_stop(Moment now, Effects& out) {
  const bool mains_run = std::ranges::any_of(containers_, [](const auto& container) {
    return container.role != ContainerRole::kSidecar && container.runs();
  });
  for (auto container = containers_.rbegin(); container != containers_.rend(); ++container) {
    if (!container->runs()) {
      container->retry_at.reset();
      continue;
    }
    const bool sidecar = container->role == ContainerRole::kSidecar;
    if (!sidecar || !mains_run)
      terminate(*container, *stop_at_, "Stopping container " + container->name, out);
    if (sidecar) container->kill_at = *stop_at_;
  }
  kill_overdue(now, out);
  if (deleting_ && !finished_ && nothing_runs()) {
    finished_ = true;
    out.push_back(FinishDeletion{});
  }
}

std::optional<Instant> PodMachine::next_deadline() const {
  std::optional<Instant> out;
  const auto sooner = [&out](const std::optional<Instant>& due) {
    if (due) out = out ? std::min(*out, *due) : *due;
  };
  sooner(prepare_at_);
  for (const ContainerState& container : containers_) {
    if (container.runs() && !container.killed) sooner(container.kill_at);
    if (!container.runs() && !stop_at_) sooner(container.retry_at);
  }
  const std::int64_t limit = integer(member(pod_, "spec", "activeDeadlineSeconds"), -1);
  if (limit >= 0 && began_ && !terminal() && !stop_at_) sooner(began_->at + std::chrono::seconds(limit));
  return out;
}

}  // namespace muster::local
