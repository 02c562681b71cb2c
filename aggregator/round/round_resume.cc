// aggregator/round/round_resume.cc: rounds that go on where an earlier process was
#include <algorithm>
#include <map>

#include "aggregator/round/round.h"
#include "common/base/check.h"

namespace muster::agg {

// The round under way goes on with the cohort that it had; its deadline begins anew.
void RoundMachine::restore(const Resume& resume, Instant now) {
  MUSTER_CHECK(state_ == RoundState::kSelecting || over());
  MUSTER_CHECK(tasks_.empty() && closed_.empty());
  attempt_ = resume.attempt;
  cycle_ = std::max<std::uint64_t>(1, resume.cycle);
  const Instant useless_at =
      now + (options_.late_counts ? 1 + static_cast<int>(kClosedRoundsKept) : 1) * options_.report_deadline;
  std::map<std::int64_t, Tasks> closed;  // by round
  for (const ResumedTask& task : resume.tasks) {
    const bool open = !over() && task.cycle == cycle_ && task.number == round_;
    TaskState state{
        .client = task.client, .round = task.number, .copies = task.copies, .useless_at = useless_at};
    switch (task.fate) {
      case TaskFate::kAssigned: break;
      case TaskFate::kArrived: state.progress = Progress::kFolding; break;
      case TaskFate::kReported: state.progress = Progress::kReported; break;
      case TaskFate::kRefused: state.progress = Progress::kRefused; break;
      case TaskFate::kLate:
      case TaskFate::kExpired: state.lapsed = true; break;
    }
    if (!open || task_of_.contains(task.client)) {
      closed[task.number].emplace(task.id, state);
      continue;
    }
    state.configured = state.progress != Progress::kAssigned;
    if (state.configured) ++configured_;
    if (state.progress == Progress::kFolding) ++folding_;
    if (state.progress == Progress::kRefused) ++refused_;
    if (state.progress == Progress::kReported) {
      ++reported_;
      draws_ += state.copies;
    }
    if (state.progress == Progress::kAssigned && !state.lapsed)
      presence_.set(task.client, Presence::kWorking);
    task_of_.emplace(task.client, task.id);
    tasks_.emplace(task.id, state);
  }
  for (auto& [round, tasks] : closed) closed_.push_back(std::move(tasks));
  while (closed_.size() > kClosedRoundsKept) closed_.erase(closed_.begin());
  if (!tasks_.empty()) {
    state_ = RoundState::kReporting;
    overdue_ = false;
    deadline_ = now + options_.report_deadline;
  }
  check_invariants();
}

Resume RoundMachine::resume() const {
  Resume resume{.attempt = attempt_, .cycle = cycle_, .tasks = {}};
  const auto add = [&](const Tasks& tasks, std::uint64_t cycle) {
    for (const auto& [id, task] : tasks) {
      TaskFate fate = TaskFate::kAssigned;
      if (task.progress == Progress::kFolding) fate = TaskFate::kArrived;
      if (task.progress == Progress::kReported) fate = TaskFate::kReported;
      if (task.progress == Progress::kRefused) fate = TaskFate::kRefused;
      if (task.progress == Progress::kAssigned && task.lapsed) fate = TaskFate::kLate;
      resume.tasks.push_back({.id = id,
                              .client = task.client,
                              .number = task.round,
                              .copies = task.copies,
                              .serial = 0,
                              .fate = fate,
                              .cycle = cycle});
    }
  };
  for (const Tasks& tasks : closed_) add(tasks, 0);
  add(tasks_, cycle_);
  return resume;
}

Result<Effects> RoundMachine::on(const Returned& event, Instant /*now*/) {
  TaskState* task = folding(event.task_id);
  if (task == nullptr) return out_of_place("return", event.task_id);
  task->progress = Progress::kAssigned;
  if (is_open(event.task_id)) --folding_;
  return Effects{};
}

}  // namespace muster::agg
