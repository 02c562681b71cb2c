#pragma once  // tests/sim/programs.h: what runs in the pods: Muster's agents, and programs of users
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"
#include "faults.h"
#include "proto/control.pb.h"
#include "virtual_threads.h"

namespace muster::sim {

// A parameter server holds its part of the model and a copy of the part of the server before it; what neither
// holds is lost.
//
// By pod uid. A worker waits for its assignment, works with the peers of its roster once all have it, and all
// end together; when one is lost the others wait for their next assignment, in which they go on with the
// state that they have (those of the release before end with 75, and so does whoever waits in vain). An
// aggregator works once enough clients have its address.
class Programs {
 public:
  Programs(VirtualThreads& threads, Faults& faults, std::uint64_t seed)
      : threads_(threads), faults_(faults), random_(seed), of_the_release_before_(random_.below(8) == 0) {}

  void begin(const Json& pod);        // its container has started
  void kill(const std::string& uid);  // it is gone, without a word
  [[nodiscard]] bool runs(const std::string& uid) const { return programs_.contains(uid); }
  [[nodiscard]] std::vector<std::string> running() const;

  // The Agent's side of the control channel; nullopt and kUnavailable when nothing answers.
  [[nodiscard]] std::optional<control::v1::AgentStatus> status(const std::string& uid) const;
  [[nodiscard]] Status configure(const std::string& uid, const control::v1::Assignment& assignment);

  // While it is held, nothing makes progress and nothing ends by itself.
  void hold(bool held);
  // It ends now, by its own fault.
  void crash(const std::string& uid, int code);

  std::function<void(const std::string& uid, int code, const std::string& words)> on_exit;
  std::function<void(const std::string& uid)> on_status;
  std::function<void(const std::string& what)> on_violation;
  std::function<void(const std::string& job, const control::v1::Assignment& assignment)> on_configured;

 private:
  struct Program {
    std::string uid, job, role;
    std::int64_t index = 0;
    bool ours = false;
    std::optional<control::v1::Assignment> assignment;
    control::v1::AgentStatus status;
    bool leaving = false;
    bool broken = false;        // it has lost a peer
    std::int64_t steps = 0;     // that its state has behind it; of a server, its part
    std::int64_t mirrored = 0;  // that the part of the server before it has behind it here
  };
  void set_phase(Program& program, control::v1::Phase phase);
  void exit(const std::string& uid, int code, Nanos in);
  void work_later(const std::string& uid);
  void work(Program& program);
  [[nodiscard]] bool may_work(const Program& program);
  void step(Program& program, std::int64_t step);
  void lose_peer(const Program& lost);
  void break_off(Program& program, const std::string& message);
  [[nodiscard]] std::vector<Program*> members(const Program& program);
  void share_parts(const std::vector<Program*>& members, std::int64_t steps);

  VirtualThreads& threads_;
  Faults& faults_;
  Random random_;
  bool held_ = false;
  bool of_the_release_before_ = false;
  std::map<std::string, Program> programs_;
};

}  // namespace muster::sim
