#pragma once  // aggregator/round/buffer.h: a federation without rounds as a state machine without I/O
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "aggregator/round/idle_pool.h"
#include "aggregator/round/machine.h"
#include "aggregator/round/presence.h"

namespace muster::agg {

struct BufferOptions {
  std::int64_t versions = 1;   // to commit
  std::int64_t committed = 0;  // the version that was resumed from
  std::int64_t clients = 1;
  std::int64_t at_work = 1;         // clients at once, at most; 1 <= at_work <= clients
  std::int64_t buffer = 1;          // updates that make a version
  std::int64_t staleness_max = 20;  // of versions, in an update
  std::uint64_t seed = 0;
  std::function<std::string()> new_task_id;         // as RoundOptions::new_task_id
  std::chrono::milliseconds task_deadline{60'000};  // then a client is waited for no longer
  std::chrono::milliseconds quiet_max{900'000};     // without any update: nobody will come any more
  // Whose update was refused is given no other task for so long, or until the next version; twice as long
  // each time, up to refused_pause_max, until an update of anybody is accepted.
  std::chrono::milliseconds refused_pause{1'000};
  std::chrono::milliseconds refused_pause_max{60'000};
};

// Nguyen et al. 2022, "Federated Learning with Buffered Asynchronous Aggregation" (FedBuff): `at_work`
// clients train at any time, whichever version they began with; each `buffer` updates make a version, and
// nobody waits for it. Who begins a task is drawn from the idle ones, all alike, when another has come to an
// end; but who has an update in the buffer that is being gathered waits while one without is idle or at work,
// so that no client is a version alone because it is fast.
//
// A task begins with the version that is in place when its download begins, until its client has the whole of
// it; then it is of that version for good, and a client that asks for a task anew has lost it and is given
// another one. An update is told to have come late when its version is more than staleness_max versions old.
// While a version is made (CommitRound until Committed) updates go on to the next. The federation fails when
// nothing but refused updates has come for a while: of so many clients, or of all there are, and of each that
// was at work when the first was refused. Each step costs the logarithm of the tasks, and each version a pass
// over those at work. Memory: O(clients).
class BufferMachine final : public FederationMachine {
 public:
  BufferMachine(BufferOptions options, Instant now);

  [[nodiscard]] Result<Effects> step(const Event& event, Instant now) override;
  [[nodiscard]] std::optional<Instant> next_deadline() const override;
  [[nodiscard]] Judgement judge(const std::string& task_id, Instant now) const override;
  [[nodiscard]] Result<Instant> task_deadline(const std::string& task_id) const override;
  [[nodiscard]] Result<Instant> useless_at(const std::string& task_id) const override {
    return task_deadline(task_id);
  }
  [[nodiscard]] std::optional<KnownTask> known(const std::string& task_id) const override;
  [[nodiscard]] RoundCounts counts() const override;
  [[nodiscard]] bool over() const override { return over_; }
  [[nodiscard]] bool failed() const override { return failed_; }
  [[nodiscard]] const std::string& outcome() const override { return outcome_; }
  void restore(const Resume& resume, Instant now) override;
  [[nodiscard]] Resume resume() const override;

 private:
  // kReturned: its update is to come again; its client is counted on no more.
  enum class Progress { kAssigned, kFolding, kReported, kReturned, kRefused, kLapsed, kExpired };
  struct Task {
    ClientId client = 0;
    std::int64_t version = 0;  // that it began with
    std::int64_t serial = 0;
    Progress progress = Progress::kAssigned;
    bool configured = false;
    bool only = false;          // its client has nothing in the buffer
    std::int64_t gathered = 0;  // the buffer that its update arrived for
    Instant deadline;
  };
  struct Refusals {  // of a client
    int times = 0;   // since anybody's update was accepted
    std::optional<Instant> paused_until;
  };
  using Tasks = std::unordered_map<std::string, Task>;

  Result<Effects> on(const CheckedIn& event, Instant now);
  Result<Effects> on(const Left& event, Instant now);
  Result<Effects> on(const Fetching& event, Instant now);
  Result<Effects> on(const Downloaded& event, Instant now);
  Result<Effects> on(const Arrived& event, Instant now);
  Result<Effects> on(const Reported& event, Instant now);
  Result<Effects> on(const Returned& event, Instant now);
  Result<Effects> on(const Refused& event, Instant now);
  Result<Effects> on(const Lapsed& event, Instant now);
  Result<Effects> on(const Committed& event, Instant now);
  Result<Effects> on(const Stopped& event, Instant now);
  Result<Effects> on(const Tick& event, Instant now);

  void advance(Instant now, Effects& effects);
  void expire(Instant now, Effects& effects);
  void assign(Instant now, Effects& effects);
  void consider_version(Effects& effects);
  [[nodiscard]] IdlePool* drawable();  // null: nobody may be given a task
  [[nodiscard]] bool nothing_but_refused() const;
  void give_up(const std::string& task_id, const std::string& why, Presence presence, Effects& effects);
  void gave(ClientId client, int updates);
  void pause(ClientId client, Instant now);
  void end_pauses(Instant now);
  [[nodiscard]] AssignTask assignment(const std::string& task_id, const Task& task, bool again) const;
  void leave_work(const std::string& task_id, Task& task, Progress to);
  void set_idle(ClientId client, bool idle);
  [[nodiscard]] IdlePool& pool_of(ClientId client);
  void move_idle(ClientId client);  // to the pool where it belongs by now
  void end(std::string reason, bool failed, bool refused, Effects& effects);
  void check_invariants() const;

  BufferOptions options_;
  std::int64_t version_;
  Presences presence_;
  IdlePool idle_;                                   // without an update in the buffer
  IdlePool gave_idle_;                              // with one
  IdlePool paused_idle_;                            // whose last update was refused
  Tasks tasks_;                                     // at work, and the last that were
  std::unordered_map<ClientId, std::string> open_;  // at work, by client
  std::set<std::pair<Instant, std::string>> due_;   // of the tasks at work
  std::deque<std::string> ended_;                   // tasks no longer at work, oldest first
  std::int64_t serial_ = 0;
  std::int64_t configured_ = 0;             // tasks at work whose client has the model
  std::int64_t buffered_ = 0;               // updates in the aggregate that is being gathered
  std::int64_t gathering_ = 1;              // counts the buffers
  std::unordered_map<ClientId, int> gave_;  // updates in the buffer, or about to be
  std::int64_t only_ = 0;                   // tasks at work that are their client's only part in the buffer
  bool making_ = false;                     // a version
  Instant quiet_since_;
  std::int64_t refused_in_a_row_ = 0;
  std::int64_t refused_since_ = 0;  // the newest task when the first of those was refused
  std::unordered_map<ClientId, Refusals> refusals_;
  std::set<ClientId> refused_clients_;             // of those in a row
  std::set<std::pair<Instant, ClientId>> pauses_;  // their ends
  std::string refusal_;
  std::int64_t late_ = 0;
  std::int64_t dropped_ = 0;
  bool over_ = false;
  bool failed_ = false;
  std::string outcome_;
};

}  // namespace muster::agg
