#pragma once  // aggregator/round/round.h: the rounds of one federation as a state machine without I/O
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "aggregator/round/machine.h"
#include "aggregator/round/presence.h"
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
  // Of each client: who is drawn in proportion to these, with replacement; empty: who is drawn is as good as
  // any other.
  std::vector<std::uint64_t> sizes = {};
  bool late_counts = false;  // an update of one of the last few rounds may still be folded in
  // Names each task: unguessable, since a name is half of what it takes to answer for a task, and never the
  // same twice, so that tasks of an earlier process are not taken for ours.
  std::function<std::string()> new_task_id;
  std::chrono::milliseconds selection_grace{2'000};      // for the others, once `size` clients are there
  std::chrono::milliseconds selection_timeout{300'000};  // for `size` clients to come; then `minimum` must do
  std::chrono::milliseconds report_deadline{60'000};     // from the selection
  int failures_max = 3;                                  // rounds in a row that may come to nothing
};

enum class RoundState { kSelecting, kReporting, kCommitting, kFinished, kFailed };

// Each step costs the same whatever the number of clients, save those that begin or end a round.
// Selecting -> Reporting -> Committing -> Selecting ... -> Finished | Failed: the diagram is in
// ARCHITECTURE.md. Memory: O(clients).
class RoundMachine final : public FederationMachine {
 public:
  RoundMachine(RoundOptions options, Instant now);

  [[nodiscard]] Result<Effects> step(const Event& event, Instant now) override;
  [[nodiscard]] std::optional<Instant> next_deadline() const override;
  [[nodiscard]] Judgement judge(const std::string& task_id, Instant now) const override;
  [[nodiscard]] Result<Instant> task_deadline(const std::string& task_id) const override;
  [[nodiscard]] Result<Instant> useless_at(const std::string& task_id) const override;
  [[nodiscard]] std::optional<KnownTask> known(const std::string& task_id) const override;
  [[nodiscard]] RoundCounts counts() const override;
  [[nodiscard]] bool over() const override {
    return state_ == RoundState::kFinished || state_ == RoundState::kFailed;
  }
  [[nodiscard]] bool failed() const override { return state_ == RoundState::kFailed; }
  [[nodiscard]] const std::string& outcome() const override { return outcome_; }
  void restore(const Resume& resume, Instant now) override;
  [[nodiscard]] Resume resume() const override;
  [[nodiscard]] RoundState state() const { return state_; }
  [[nodiscard]] std::int64_t round() const { return round_; }

 private:
  static constexpr std::size_t kClosedRoundsKept = 4;  // a client this far behind is answered "unknown task"
  enum class Progress { kAssigned, kFolding, kReported, kRefused };
  struct TaskState {
    ClientId client = 0;
    std::int64_t round = 0;
    std::int64_t copies = 1;  // it was drawn so often
    Instant useless_at{};     // its update
    Progress progress = Progress::kAssigned;
    bool configured = false;
    bool counted_dropped = false;  // closed rounds only
    bool lapsed = false;
  };
  using Tasks = std::unordered_map<std::string, TaskState>;

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
  void consider_selection(Instant now, Effects& effects);
  void select(Instant now, Effects& effects);
  void came_late(const std::string& task_id, TaskState& task);
  void consider_closing(Instant now, Effects& effects);
  void close(bool at_deadline, Effects& effects);
  void forget_oldest(Effects& effects);
  void abandon(const std::string& reason, const std::string& advice, bool refused, Instant now,
               Effects& effects);
  void begin_selecting(Instant now);
  void end(std::string reason, bool failed, bool refused, Effects& effects);
  [[nodiscard]] const TaskState* find(const std::string& task_id) const;  // of this round or a closed one
  [[nodiscard]] TaskState* find(const std::string& task_id);
  [[nodiscard]] TaskState* folding(const std::string& task_id);  // being folded
  [[nodiscard]] bool is_open(const std::string& task_id) const { return tasks_.contains(task_id); }
  void check_invariants() const;

  RoundOptions options_;
  RoundState state_ = RoundState::kSelecting;
  std::int64_t round_;
  std::int64_t attempt_ = 0;  // of this round
  std::uint64_t cycle_ = 1;   // of all attempts
  int failures_ = 0;          // in a row
  Presences presence_;
  Tasks tasks_;                                        // of the round under way
  std::unordered_map<ClientId, std::string> task_of_;  // its tasks by client
  std::vector<Tasks> closed_;                          // of the rounds before, newest last, a few
  std::optional<Instant> grace_until_;
  Instant deadline_;             // of the selection or of the reports
  bool overdue_ = false;         // the reports are due, and updates that arrived in time are being folded
  std::int64_t configured_ = 0;  // of the round under way
  std::int64_t folding_ = 0;     // likewise
  std::int64_t reported_ = 0;    // likewise
  std::int64_t draws_ = 0;       // likewise, each as often as it was drawn
  std::int64_t refused_ = 0;     // likewise
  std::string refusal_;          // the newest of this round
  std::int64_t late_ = 0;
  std::int64_t dropped_ = 0;
  std::string outcome_;
};

}  // namespace muster::agg
