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
};

// Nguyen et al. 2022, "Federated Learning with Buffered Asynchronous Aggregation" (FedBuff): `at_work`
// clients train at any time, whichever version they began with; each `buffer` updates make a version, and
// nobody waits for it. Who begins a task is drawn from the idle ones, all alike, when another has come to an
// end.
//
// A task begins with the version that is in place when its download begins, and is told to have come late
// when that is more than staleness_max versions old. While a version is made (CommitRound until Committed)
// updates go on to the next. Each step costs the logarithm of the tasks at most. Memory: O(clients).
class BufferMachine final : public FederationMachine {
 public:
  BufferMachine(BufferOptions options, Instant now);

  [[nodiscard]] Result<Effects> step(const Event& event, Instant now) override;
  [[nodiscard]] std::optional<Instant> next_deadline() const override;
  [[nodiscard]] Judgement judge(const std::string& task_id, Instant now) const override;
  [[nodiscard]] Result<Instant> task_deadline(const std::string& task_id) const override;
  [[nodiscard]] std::optional<KnownTask> known(const std::string& task_id) const override;
  [[nodiscard]] RoundCounts counts() const override;
  [[nodiscard]] bool over() const override { return over_; }
  [[nodiscard]] bool failed() const override { return failed_; }
  [[nodiscard]] const std::string& outcome() const override { return outcome_; }

 private:
  enum class Progress { kAssigned, kFolding, kReported, kRefused, kLapsed, kExpired };
  struct Task {
    ClientId client = 0;
    std::int64_t version = 0;  // that it began with
    std::int64_t serial = 0;
    Progress progress = Progress::kAssigned;
    bool configured = false;
    Instant deadline;
  };
  using Tasks = std::unordered_map<std::string, Task>;

  Result<Effects> on(const CheckedIn& event, Instant now);
  Result<Effects> on(const Left& event, Instant now);
  Result<Effects> on(const Fetching& event, Instant now);
  Result<Effects> on(const Downloaded& event, Instant now);
  Result<Effects> on(const Arrived& event, Instant now);
  Result<Effects> on(const Reported& event, Instant now);
  Result<Effects> on(const Refused& event, Instant now);
  Result<Effects> on(const Lapsed& event, Instant now);
  Result<Effects> on(const Committed& event, Instant now);
  Result<Effects> on(const Stopped& event, Instant now);
  Result<Effects> on(const Tick& event, Instant now);

  void advance(Instant now, Effects& effects);
  void expire(Instant now, Effects& effects);
  void assign(Instant now, Effects& effects);
  void consider_version(Effects& effects);
  [[nodiscard]] AssignTask assignment(const std::string& task_id, const Task& task) const;
  void leave_work(const std::string& task_id, Task& task, Progress to);
  void set_idle(ClientId client, bool idle);
  void end(std::string reason, bool failed, bool refused, Effects& effects);
  void check_invariants() const;

  BufferOptions options_;
  std::int64_t version_;
  Presences presence_;
  std::vector<ClientId> idle_;                      // in no order that matters but to the draw
  std::vector<std::size_t> place_;                  // of each client in idle_
  Tasks tasks_;                                     // at work, and the last that were
  std::unordered_map<ClientId, std::string> open_;  // at work, by client
  std::set<std::pair<Instant, std::string>> due_;   // of the tasks at work
  std::deque<std::string> ended_;                   // tasks no longer at work, oldest first
  std::int64_t serial_ = 0;
  std::int64_t configured_ = 0;  // tasks at work whose client has the model
  std::int64_t buffered_ = 0;    // updates in the aggregate that is being gathered
  bool making_ = false;          // a version
  Instant quiet_since_;
  std::int64_t refused_in_a_row_ = 0;
  std::string refusal_;
  std::int64_t late_ = 0;
  std::int64_t dropped_ = 0;
  bool over_ = false;
  bool failed_ = false;
  std::string outcome_;
};

}  // namespace muster::agg
