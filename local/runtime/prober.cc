// local/runtime/prober.cc: schedules probes; a check that does not answer in time has failed
#include "local/runtime/prober.h"

#include <fmt/format.h>

#include <utility>

#include "local/runtime/json_access.h"

namespace muster::local {

Prober::Prober(Reactor& reactor, ProbeTarget target, Heard heard)
    : reactor_(reactor), target_(std::move(target)), heard_(std::move(heard)) {}

Prober::~Prober() {
  for (const auto& running : running_) {
    if (running->timer) reactor_.cancel(*running->timer);
  }
}

void Prober::start() {
  if (target_.container.contains("startupProbe")) return add(ProbeKind::kStartup, "startupProbe");
  add_lasting();
}

void Prober::add_lasting() {
  add(ProbeKind::kLiveness, "livenessProbe");
  add(ProbeKind::kReadiness, "readinessProbe");
}

void Prober::add(ProbeKind kind, const char* field) {
  const Json& spec = member(target_.container, field);
  if (!spec.is_object()) return;
  running_.push_back(std::make_unique<Running>(
      Running{.probe = Probe(kind, spec, std::chrono::steady_clock::now()), .check = nullptr, .timer = {}}));
  schedule(*running_.back());
}

void Prober::schedule(Running& running) {
  if (running.timer) reactor_.cancel(*running.timer);
  running.timer.reset();
  if (const auto due = running.probe.due())
    running.timer = reactor_.at(*due, [this, &running] { check(running); });
}

void Prober::check(Running& running) {
  running.probe.begin();
  const auto timeout = running.probe.timeout();
  running.timer = reactor_.at(std::chrono::steady_clock::now() + timeout, [this, &running, timeout] {
    answered(running, false, fmt::format("no answer within {} s", timeout.count()));
  });
  // Answers go through the reactor, so that a check never ends inside its own call.
  running.check = start_check(
      reactor_, running.probe.spec(), target_, [this, &running](bool success, const std::string& output) {
        if (running.timer) reactor_.cancel(*running.timer);
        running.timer = reactor_.at(std::chrono::steady_clock::now(), [this, &running, success, output] {
          answered(running, success, output);
        });
      });
}

void Prober::answered(Running& running, bool success, const std::string& output) {
  running.timer.reset();
  running.check.reset();
  const ProbeKind kind = running.probe.kind();
  const ProbeVerdict verdict = running.probe.answer(success, std::chrono::steady_clock::now());
  const bool started = kind == ProbeKind::kStartup && verdict == ProbeVerdict::kHealthy;
  if (!started) schedule(running);
  if (started) add_lasting();
  if (!success || verdict != ProbeVerdict::kUndecided)
    heard_(kind, success, verdict, output);  // last: it may end this object
}

}  // namespace muster::local
