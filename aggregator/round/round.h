#pragma once  // aggregator/round/round.h: the rounds of one federation as a state machine without I/O
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "aggregator/round/events.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace muster::agg {

struct RoundOptions {
  std::int64_t rounds = 1;
  std::int64_t first_round = 1;  // 1 + the committed round that was resumed from
  std::int64_t clients = 1;
  std::int64_t size = 1;      // reports that close a round
  std::int64_t selected = 1;  // clients that are asked for them, size <= selected <= clients
  std::int64_t minimum = 1;   // reports that make a round count at its deadline
  std::uint64_t seed = 0;
  // Names each task: unguessable, since a name is half of what it takes to answer for a task, and never the
  // same twice, so that tasks of an earlier process are not taken for ours.
  std::function<std::string()> new_task_id;
  std::chrono::milliseconds selection_grace{2'000};      // for the others, once `size` clients are there
  std::chrono::milliseconds selection_timeout{300'000};  // for `size` clients to come; then `minimum` must do
  std::chrono::milliseconds report_deadline{60'000};     // from the selection
  int failures_max = 3;                                  // rounds in a row that may come to nothing
};

enum class RoundState { kSelecting, kReporting, kCommitting, kFinished, kFailed };
enum class Judgement { kFold, kBeingFolded, kAlreadyCounted, kLate, kUnknown };

struct RoundCounts {
  std::int64_t committed = 0;  // the newest round whose model is in place, not always on disk yet
  std::int64_t connected = 0;  // clients thought to be here: idle, at work or about to come back
  std::int64_t selected = 0;   // of the round under way
  std::int64_t configured = 0;
  std::int64_t reported = 0;
  std::int64_t late = 0;  // updates that came, or were given up, after their round closed, since the start
  // Selected clients that sent nothing usable and are not late, since the start. Those at work when a round
  // closes before its deadline are counted some rounds later, if nothing came until then.
  std::int64_t dropped = 0;
};

// Each step costs the same whatever the number of clients, save those that begin or end a round.
// Selecting -> Reporting -> Committing -> Selecting ... -> Finished | Failed: the diagram is in
// ARCHITECTURE.md. Same options and events, same effects. An event that does not fit is an error and changes
// nothing. Memory: O(clients).
class RoundMachine {
 public:
  RoundMachine(RoundOptions options, Instant now);

  [[nodiscard]] Result<Effects> step(const Event& event, Instant now);
  // When to send Tick at the latest.
  [[nodiscard]] std::optional<Instant> next_deadline() const;
  // What an update for this task would be now. kFold: step(Arrived), fold, then step(Reported) or
  // step(Refused). An update that has arrived is waited for beyond the deadline.
  [[nodiscard]] Judgement judge(const std::string& task_id, Instant now) const;
  // Until when the task may be worked at. Errors: kNotFound; kAborted: its round is over.
  [[nodiscard]] Result<Instant> task_deadline(const std::string& task_id) const;

  // Errors: kInvalidArgument: the federation has no such client.
  [[nodiscard]] Status check_client(ClientId client) const;
  // Whose task it is, of this round or one of the last few.
  [[nodiscard]] std::optional<ClientId> client_of(const std::string& task_id) const;
  [[nodiscard]] RoundState state() const { return state_; }
  [[nodiscard]] std::int64_t round() const { return round_; }
  [[nodiscard]] RoundCounts counts() const;
  [[nodiscard]] bool over() const { return state_ == RoundState::kFinished || state_ == RoundState::kFailed; }
  [[nodiscard]] const std::string& outcome() const { return outcome_; }  // why it is over

 private:
  enum class Presence { kUnknown, kIdle, kWorking, kReturning, kAway };  // counts_ has one entry each
  enum class Progress { kAssigned, kFolding, kReported, kRefused };
  struct TaskState {
    ClientId client = 0;
    Progress progress = Progress::kAssigned;
    bool configured = false;
    bool counted_dropped = false;  // closed rounds only
    bool lapsed = false;
  };
  using Tasks = std::unordered_map<std::string, TaskState>;

  Result<Effects> on(const CheckedIn& event, Instant now);
  Result<Effects> on(const Left& event, Instant now);
  Result<Effects> on(const Downloaded& event, Instant now);
  Result<Effects> on(const Arrived& event, Instant now);
  Result<Effects> on(const Reported& event, Instant now);
  Result<Effects> on(const Refused& event, Instant now);
  Result<Effects> on(const Lapsed& event, Instant now);
  Result<Effects> on(const Committed& event, Instant now);
  Result<Effects> on(const Stopped& event, Instant now);
  Result<Effects> on(const Tick& event, Instant now);

  void advance(Instant now, Effects& effects);
  void consider_selection(Instant now, Effects& effects);
  void select(Instant now, Effects& effects);
  void consider_closing(Instant now, Effects& effects);
  void close(bool at_deadline);
  void forget_oldest();
  void abandon(const std::string& reason, const std::string& advice, bool refused, Instant now,
               Effects& effects);
  void begin_selecting(Instant now);
  void end(std::string reason, bool failed, bool refused, Effects& effects);
  void set_presence(ClientId client, Presence to);
  [[nodiscard]] const TaskState* find(const std::string& task_id) const;  // of this round or a closed one
  [[nodiscard]] TaskState* find(const std::string& task_id);
  [[nodiscard]] TaskState* folding(const std::string& task_id);  // of this round, being folded
  void check_invariants() const;
  [[nodiscard]] Presence presence(ClientId client) const {
    return presence_[static_cast<std::size_t>(client)];
  }
  [[nodiscard]] std::int64_t& count(Presence of) { return counts_[static_cast<std::size_t>(of)]; }
  [[nodiscard]] std::int64_t count(Presence of) const { return counts_[static_cast<std::size_t>(of)]; }

  RoundOptions options_;
  RoundState state_ = RoundState::kSelecting;
  std::int64_t round_;
  std::int64_t attempt_ = 0;  // of this round
  int failures_ = 0;          // in a row
  std::vector<Presence> presence_;
  std::array<std::int64_t, 5> counts_{};  // of clients by presence, since every call asks for them
  Tasks tasks_;                           // of the round under way
  std::unordered_map<ClientId, std::string> task_of_;  // its tasks by client
  std::vector<Tasks> closed_;                          // of the rounds before, newest last, a few
  std::optional<Instant> grace_until_;
  Instant deadline_;             // of the selection or of the reports
  bool overdue_ = false;         // the reports are due, and updates that arrived in time are being folded
  std::int64_t configured_ = 0;  // of the round under way
  std::int64_t folding_ = 0;     // likewise
  std::int64_t reported_ = 0;    // likewise
  std::int64_t refused_ = 0;     // likewise
  std::string refusal_;          // the newest of this round
  std::int64_t late_ = 0;
  std::int64_t dropped_ = 0;
  std::string outcome_;
};

}  // namespace muster::agg
