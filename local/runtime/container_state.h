#pragma once  // local/runtime/container_state.h: what is known of one container of a pod, and how a status
              // shows it
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/json/fields.h"

namespace muster::local {

struct Moment {
  Instant at;     // for deadlines
  WallTime wall;  // for timestamps
};

enum class ContainerRole { kInit, kSidecar, kMain };
enum class Life { kWaiting, kStarting, kRunning, kEnded };

struct ContainerState {
  std::string name;
  ContainerRole role = ContainerRole::kMain;
  Json spec;
  Life life = Life::kWaiting;
  std::string reason;   // while waiting
  std::string message;  // while waiting
  std::string id;
  Json ended;         // state.terminated of the newest run that ended; null if none did
  Json ended_before;  // of the one before that
  bool ended_well = false;
  int restarts = 0;
  bool started = false;
  bool ready = false;
  std::optional<Moment> running_since;
  std::optional<Instant> retry_at;  // waiting, or ended and to be started again
  std::chrono::seconds backoff{0};  // the next delay; 0: none yet
  std::optional<Instant> kill_at;   // asked to end: SIGKILL then
  bool killed = false;

  [[nodiscard]] bool runs() const { return life == Life::kStarting || life == Life::kRunning; }
  [[nodiscard]] bool init() const { return role != ContainerRole::kMain; }
};

// A container with this hook counts as started only when the hook is over.
[[nodiscard]] bool has_post_start(const Json& container_spec);

// The element of status.containerStatuses.
[[nodiscard]] Json container_status(const ContainerState& container);

// "state.terminated" of a run.
[[nodiscard]] Json terminated_state(int exit_code, const std::string& reason, const std::string& message,
                                    const std::string& id, std::optional<Moment> started, Moment finished);

// "10s", "1m20s", as Go prints durations.
[[nodiscard]] std::string go_duration(std::chrono::seconds span);

// status.conditions: the time of a condition moves only when its status does.
class Conditions {
 public:
  void set(const std::string& type, bool status, WallTime now, const std::string& reason = "",
           const std::string& message = "");
  [[nodiscard]] Json json() const;  // in the order of the kubelet

 private:
  struct Condition {
    std::string type;
    bool status = false;
    std::string since;
    std::string reason;
    std::string message;
  };
  std::vector<Condition> all_;
};

}  // namespace muster::local
