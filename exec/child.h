#pragma once  // exec/child.h: the command as a child process, and all that it starts
#include <sys/types.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "exec/wire.h"

namespace muster::exec {

// This process is the subreaper of what the command starts, so that nothing of one membership lives on in the
// next. Call everything from one thread, with SIGCHLD blocked.
class Child {
 public:
  explicit Child(std::vector<std::string> command) : command_(std::move(command)) {}

  // As a container's runtime starts it: descriptors 0 to 2, default signals, the environment of this process
  // with `environment` instead of its variables of the same names. Errors: kNotFound, kPermissionDenied,
  // kUnavailable: the command cannot be executed; its words name it.
  [[nodiscard]] Status start(const Environment& environment);
  void signal(int number) const;
  void kill_all() const;  // what lives now; what it starts meanwhile is met by the next call
  // Takes up what has ended. Once the command has, what is left of it is killed, or, `gently`, each gets a
  // SIGTERM; when nothing is left, its exit code: 128 + n where a signal ended it.
  [[nodiscard]] std::optional<int> reap(bool gently);
  // It has ended, and what it had started has not yet.
  [[nodiscard]] bool has_remains() const { return exit_code_.has_value(); }

 private:
  std::vector<std::string> command_;
  pid_t pid_ = 0;                 // 0: it does not run
  std::optional<int> exit_code_;  // of a command that has ended
  std::set<pid_t> told_;          // of what it has left: those that have got their SIGTERM
};

}  // namespace muster::exec
