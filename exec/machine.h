#pragma once  // exec/machine.h: what muster-exec does next: memberships in, orders for one command out. Pure
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "exec/wire.h"

namespace muster::exec {

// A command that is asked to end (SIGTERM) for the next membership has so long; then all that is left of it
// is killed. Its peers' work is lost already, so that it has little to save.
inline constexpr std::chrono::seconds kGrace{5};
// For what was killed to be gone: only a process that is stuck in the kernel takes longer. Then the container
// ends, which takes everything with it, or tells that its node is broken.
inline constexpr std::chrono::seconds kGone{60};
// For the next assignment while nobody follows this pod, as the agents of trainings have it
// (pod/pod_life.h).
inline constexpr std::chrono::minutes kPatience{10};

struct Start {  // of the command, with these variables beside its own
  std::int64_t membership = 0;
  Environment environment;
};
struct Pass {  // a signal on to the command
  int number = 0;
};
struct KillAll {};  // every process that is left of it
struct End {        // of this process
  int exit_code = 0;
  std::string words;  // why, where the command's own end does not say it; empty: it does
};
using Effect = std::variant<Start, Pass, KillAll, End>;

//              assignment m                    start in m
//   Waiting ------------------> Ready(m) --------------------> Running(m) ---- exit 0 ----> End
//                                 ^  ^                           |   |
//                                 |  | assignment m' > m         |   | any other exit
//                      all gone   |  +---------- Broken <--------|---+
//                                 |                              | assignment m' > m: SIGTERM, then SIGKILL
//                              Ending(m') <----------------------+
// SIGTERM goes on to a command that runs, whose exit code is then that of the container.
class Machine {
 public:
  Machine(std::string job_uid, std::string pod_uid, Instant now);

  // Errors, as control.proto has them: kPermissionDenied: for another pod or object; kFailedPrecondition: an
  // older membership, or other variables for one that has been started; kInvalidArgument: not for this
  // program; kUnavailable: it is ending. The same again is taken, and changes nothing.
  [[nodiscard]] Result<std::vector<Effect>> assign(const Assignment& assignment, Instant now);
  // Who follows this pod, and knows of older memberships only, is refused. Errors: as above.
  [[nodiscard]] Status check(const WatchRequest& request) const;
  // The command and all that it has started are gone. `exit_code`: 128 + n where signal n ended it.
  [[nodiscard]] std::vector<Effect> ended(int exit_code, std::string words, Instant now);
  // The program of the command cannot be started, says `words`.
  [[nodiscard]] std::vector<Effect> not_started(int exit_code, std::string words, Instant now);
  [[nodiscard]] std::vector<Effect> signalled(int number, Instant now);
  // The operator follows this pod: what it waits for then, such as a pod without a node, may take any time.
  void heard(Instant now);
  [[nodiscard]] std::vector<Effect> tick(Instant now);
  [[nodiscard]] std::optional<Instant> next_deadline() const;

  // The command has been asked to end and may still do so: as may what it has started.
  [[nodiscard]] bool may_end() const { return state_ == State::kEnding || state_ == State::kLeaving; }
  [[nodiscard]] const Told& told() const { return told_; }

 private:
  enum class State { kWaiting, kReady, kRunning, kEnding, kKilling, kBroken, kLeaving, kOver };

  [[nodiscard]] std::vector<Effect> become_ready(Instant now);
  [[nodiscard]] std::vector<Effect> broken(CommandEnd end, Instant now);
  [[nodiscard]] std::vector<Effect> end(int exit_code, std::string words);
  void show(Phase phase, std::string message);

  std::string job_uid_;
  State state_ = State::kWaiting;
  Assignment newest_;  // membership 0: none yet
  std::optional<Instant> deadline_;
  Told told_;
};

}  // namespace muster::exec
