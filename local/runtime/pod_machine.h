#pragma once  // local/runtime/pod_machine.h: the life of one pod as a state machine: events in, effects out
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/clock.h"
#include "common/json/fields.h"
#include "local/runtime/container_state.h"

namespace muster::local {

struct PrepareVolumes {};  // answer: prepared() or prepare_failed()
struct StartContainer {
  std::string name;
};  // answer: started(), start_failed() or config_failed(); then exited()
struct TerminateContainer {
  std::string name;
};  // SIGTERM
struct KillContainer {
  std::string name;
};  // SIGKILL
struct RecordEvent {
  std::string container;  // "" for the pod
  bool init = false;
  std::string type;
  std::string reason;
  std::string message;
};
struct FinishDeletion {};  // nothing runs any more and the object wants to go
using Effect = std::variant<PrepareVolumes, StartContainer, TerminateContainer, KillContainer, RecordEvent,
                            FinishDeletion>;
using Effects = std::vector<Effect>;

// Follows the kubelet: init containers and sidecars in order, restart policies with back-off (at once, then
// 10 s doubling to 5 min, forgotten after 10 min of running), graceful end, phases, conditions, container
// statuses. Pure: no I/O, no clock. Events for unknown containers, or that do not fit a container's state,
// change nothing.
class PodMachine {
 public:
  PodMachine(const Json& pod, std::string pod_ip, std::string host_ip);

  [[nodiscard]] Effects begin(Moment now);
  [[nodiscard]] Effects prepared(Moment now);
  [[nodiscard]] Effects prepare_failed(const std::string& message, Moment now);  // asks again after kRetry
  // The object changed: deletion and its grace period, activeDeadlineSeconds.
  [[nodiscard]] Effects updated(const Json& pod, Moment now);
  [[nodiscard]] Effects started(std::string_view container, const std::string& id, Moment now);
  // The command could not be executed: counts as a run that ended with exit code 128.
  [[nodiscard]] Effects start_failed(std::string_view container, const std::string& message, Moment now);
  // Something that the container needs is missing; asks again after kRetry.
  [[nodiscard]] Effects config_failed(std::string_view container, const std::string& reason,
                                      const std::string& message, Moment now);
  [[nodiscard]] Effects exited(std::string_view container, int exit_code, const std::string& message,
                               Moment now);
  // Liveness decides to restart the container.
  [[nodiscard]] Effects restart(std::string_view container, const std::string& why, Moment now);
  void set_started(std::string_view container, bool value, Moment now);  // startup probe
  void set_ready(std::string_view container, bool value, Moment now);    // readiness probe
  // The node goes down: everything ends within `grace`; nothing starts any more.
  [[nodiscard]] Effects shut_down(std::chrono::milliseconds grace, Moment now);
  [[nodiscard]] Effects tick(Moment now);

  [[nodiscard]] std::optional<Instant> next_deadline() const;
  [[nodiscard]] Json status() const;  // of the pod, complete
  [[nodiscard]] bool nothing_runs() const;
  [[nodiscard]] bool terminal() const { return phase_ == "Succeeded" || phase_ == "Failed"; }
  [[nodiscard]] const ContainerState* find(std::string_view container) const;

  static constexpr std::chrono::seconds kRetry{2};
  static constexpr std::chrono::seconds kBackoffFirst{10};
  static constexpr std::chrono::seconds kBackoffMax{300};
  static constexpr std::chrono::seconds kBackoffForgotten{600};

 private:
  ContainerState* find_mutable(std::string_view container);
  [[nodiscard]] bool restarts_after(const ContainerState& container, bool failed) const;
  [[nodiscard]] bool done(const ContainerState& container) const;  // ended, and not to run again
  void end_run(ContainerState& container, Json terminated, bool failed, Moment now, Effects& out);
  // Level-triggered: whatever the state asks for now.
  void advance(Moment now, Effects& out);
  void advance_stop(Moment now, Effects& out);
  void try_start(ContainerState& container, Moment now, Effects& out);
  [[nodiscard]] bool advance_init(Moment now, Effects& out);  // true once the main containers may start
  void terminate(ContainerState& container, Instant kill_at, const std::string& why, Effects& out);
  void kill_overdue(Moment now, Effects& out);
  void event(const ContainerState* container, std::string type, std::string reason, std::string message,
             Effects& out) const;
  void event_pulled(const ContainerState& container, Effects& out) const;
  void refresh(Moment now);  // phase and conditions
  [[nodiscard]] std::string compute_phase() const;
  [[nodiscard]] Effects finish(Moment now, Effects out);

  Json pod_;
  std::string pod_ip_;
  std::string host_ip_;
  std::string policy_;
  std::vector<ContainerState> containers_;  // init containers first, as in the spec
  Conditions conditions_;
  std::string phase_ = "Pending";
  std::string reason_;
  std::string message_;
  std::string prepare_problem_;
  std::optional<Moment> began_;
  std::optional<Instant> prepare_at_;
  bool prepared_ = false;
  bool init_failed_ = false;
  bool deleting_ = false;
  bool finished_ = false;           // FinishDeletion was given
  std::optional<Instant> stop_at_;  // set: the pod is ending; SIGKILL then
};

}  // namespace muster::local
