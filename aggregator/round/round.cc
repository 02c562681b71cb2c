// aggregator/round/round.cc: transitions of the round machine
#include "aggregator/round/round.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "common/base/check.h"

namespace muster::agg {

RoundMachine::RoundMachine(RoundOptions options, Instant now)
    : options_(std::move(options)), round_(options_.first_round), presence_(options_.clients) {
  MUSTER_CHECK(options_.new_task_id && options_.clients >= 1);
  MUSTER_CHECK(1 <= options_.minimum && options_.minimum <= options_.size);
  MUSTER_CHECK(options_.size <= options_.selected && options_.selected <= options_.clients);
  MUSTER_CHECK(options_.sizes.empty() || std::ssize(options_.sizes) == options_.clients);
  begin_selecting(now);
  if (round_ > options_.rounds) {
    state_ = RoundState::kFinished;
    outcome_ = fmt::format("all {} rounds are done", options_.rounds);
  }
}

Result<Effects> RoundMachine::step(const Event& event, Instant now) {
  MUSTER_ASSIGN(Effects effects, std::visit([&](const auto& it) { return on(it, now); }, event));
  advance(now, effects);
  check_invariants();
  return effects;
}

void RoundMachine::check_invariants() const {
  MUSTER_CHECK(folding_ >= 0 && reported_ + refused_ + folding_ <= std::ssize(tasks_));
  MUSTER_CHECK(configured_ <= std::ssize(tasks_) && tasks_.size() == task_of_.size());
  MUSTER_CHECK(tasks_.empty() == (state_ != RoundState::kReporting));  // a round under way has tasks
  MUSTER_CHECK(dropped_ >= 0 && closed_.size() <= kClosedRoundsKept);
}

std::optional<Instant> RoundMachine::next_deadline() const {
  if (state_ == RoundState::kReporting) return overdue_ ? std::nullopt : std::optional(deadline_);
  if (state_ != RoundState::kSelecting) return std::nullopt;
  return grace_until_ ? std::min(*grace_until_, deadline_) : deadline_;
}

const RoundMachine::TaskState* RoundMachine::find(const std::string& task_id) const {
  if (const auto it = tasks_.find(task_id); it != tasks_.end()) return &it->second;
  for (const Tasks& tasks : closed_) {
    if (const auto it = tasks.find(task_id); it != tasks.end()) return &it->second;
  }
  return nullptr;
}

RoundMachine::TaskState* RoundMachine::find(const std::string& task_id) {
  return const_cast<TaskState*>(std::as_const(*this).find(task_id));
}

RoundMachine::TaskState* RoundMachine::folding(const std::string& task_id) {
  if (!is_open(task_id) && !options_.late_counts) return nullptr;
  TaskState* task = find(task_id);
  return task != nullptr && task->progress == Progress::kFolding ? task : nullptr;
}

std::optional<KnownTask> RoundMachine::known(const std::string& task_id) const {
  const TaskState* task = find(task_id);
  if (task == nullptr) return std::nullopt;
  return KnownTask{.client = task->client, .number = task->round, .copies = task->copies};
}

Judgement RoundMachine::judge(const std::string& task_id, Instant now) const {
  const TaskState* task = find(task_id);
  if (task == nullptr) return Judgement::kUnknown;
  if (task->progress == Progress::kReported) return Judgement::kAlreadyCounted;
  const bool open = is_open(task_id);
  if (!open && (!options_.late_counts || over())) return Judgement::kLate;  // its round is closed
  if (task->progress == Progress::kFolding) return Judgement::kBeingFolded;
  if (task->progress != Progress::kAssigned || task->lapsed) return Judgement::kLate;
  return !open || options_.late_counts || now <= deadline_ ? Judgement::kFold : Judgement::kLate;
}

Result<Instant> RoundMachine::task_deadline(const std::string& task_id) const {
  const auto it = tasks_.find(task_id);
  if (it != tasks_.end() && state_ == RoundState::kReporting && it->second.progress == Progress::kAssigned)
    return deadline_;
  return no_open_task(task_id, find(task_id) != nullptr);
}

Result<Instant> RoundMachine::useless_at(const std::string& task_id) const {
  const TaskState* task = find(task_id);
  const bool awaited = task != nullptr && task->progress == Progress::kAssigned && !task->lapsed && !over();
  if (awaited && (is_open(task_id) || options_.late_counts)) return task->useless_at;
  return no_open_task(task_id, task != nullptr);
}

RoundCounts RoundMachine::counts() const {
  return {.committed = round_ - 1,
          .connected = presence_.connected(),
          .selected = static_cast<std::int64_t>(tasks_.size()),
          .configured = configured_,
          .reported = reported_,
          .late = late_,
          .dropped = dropped_,
          .cycle = cycle_};
}

Result<Effects> RoundMachine::on(const CheckedIn& event, Instant /*now*/) {
  MUSTER_TRY(check_client(event.client, options_.clients));
  if (over()) return Effects{Dismiss{event.client}};
  const auto mine = task_of_.find(event.client);
  if (state_ == RoundState::kReporting && mine != task_of_.end() && !tasks_.at(mine->second).lapsed &&
      tasks_.at(mine->second).progress == Progress::kAssigned) {  // it lost its task, or never got it
    presence_.set(event.client, Presence::kWorking);
    return Effects{AssignTask{.client = event.client,
                              .round = round_,
                              .task_id = mine->second,
                              .deadline = tasks_.at(mine->second).useless_at,
                              .again = true}};
  }
  presence_.set(event.client, Presence::kIdle);
  return Effects{};
}

Result<Effects> RoundMachine::on(const Left& event, Instant /*now*/) {
  MUSTER_TRY(check_client(event.client, options_.clients));
  if (presence_.of(event.client) == Presence::kIdle) {
    presence_.set(event.client, event.returning ? Presence::kReturning : Presence::kAway);
  }
  return Effects{};
}

Result<Effects> RoundMachine::on(const Fetching& /*event*/, Instant /*now*/) { return Effects{}; }

Result<Effects> RoundMachine::on(const Downloaded& event, Instant /*now*/) {
  const auto it = tasks_.find(event.task_id);
  if (it == tasks_.end()) return out_of_place("download", event.task_id);
  if (!std::exchange(it->second.configured, true)) ++configured_;
  return Effects{};
}

Result<Effects> RoundMachine::on(const Arrived& event, Instant now) {
  if (judge(event.task_id, now) != Judgement::kFold) return out_of_place("update", event.task_id);
  find(event.task_id)->progress = Progress::kFolding;
  if (is_open(event.task_id)) ++folding_;
  return Effects{};
}

Result<Effects> RoundMachine::on(const Reported& event, Instant /*now*/) {
  TaskState* task = folding(event.task_id);
  if (task == nullptr) return out_of_place("report", event.task_id);
  task->progress = Progress::kReported;
  if (is_open(event.task_id)) {
    presence_.set(task->client, Presence::kReturning);
    --folding_;
    ++reported_;
    draws_ += task->copies;
  } else {
    came_late(event.task_id, *task);
  }
  return Effects{};
}

Result<Effects> RoundMachine::on(const Refused& event, Instant now) {
  const bool arrived = folding(event.task_id) != nullptr;
  if (!arrived && judge(event.task_id, now) != Judgement::kFold) {
    return out_of_place("refusal", event.task_id);
  }
  TaskState& task = *find(event.task_id);
  task.progress = Progress::kRefused;
  ++dropped_;
  if (!is_open(event.task_id)) {
    came_late(event.task_id, task);
    return Effects{};
  }
  refusal_ = fmt::format("client {}: {}", task.client, event.reason);
  presence_.set(task.client, Presence::kReturning);
  if (arrived) --folding_;
  ++refused_;
  return Effects{};
}

Result<Effects> RoundMachine::on(const Lapsed& event, Instant now) {
  if (judge(event.task_id, now) != Judgement::kLate) return out_of_place("late update", event.task_id);
  TaskState& task = *find(event.task_id);
  if (task.lapsed || task.progress == Progress::kRefused) return Effects{};
  came_late(event.task_id, task);
  return Effects{};
}

void RoundMachine::came_late(const std::string& task_id, TaskState& task) {
  task.lapsed = true;
  ++late_;
  if (std::exchange(task.counted_dropped, false)) --dropped_;  // not lost after all, only late
  const auto newer = task_of_.find(task.client);
  const bool busy_elsewhere = newer != task_of_.end() && newer->second != task_id;
  if (!busy_elsewhere && presence_.of(task.client) != Presence::kIdle)
    presence_.set(task.client, Presence::kReturning);
}

Result<Effects> RoundMachine::on(const Committed& /*event*/, Instant now) {
  if (state_ != RoundState::kCommitting) return failed_precondition("no round waits to be committed");
  Effects effects;
  failures_ = 0;
  ++round_;
  attempt_ = 0;
  if (round_ > options_.rounds) {
    end(fmt::format("all {} rounds are done", options_.rounds), false, false, effects);
  } else {
    begin_selecting(now);
  }
  return effects;
}

Result<Effects> RoundMachine::on(const Stopped& event, Instant /*now*/) {
  if (over()) return failed_precondition("the federation is over already");
  Effects effects;
  end(event.reason, event.failed, false, effects);
  return effects;
}

Result<Effects> RoundMachine::on(const Tick& /*event*/, Instant /*now*/) { return Effects{}; }

void RoundMachine::advance(Instant now, Effects& effects) {
  if (state_ == RoundState::kReporting) consider_closing(now, effects);
  if (state_ == RoundState::kSelecting) consider_selection(now, effects);
}

void RoundMachine::consider_selection(Instant now, Effects& effects) {
  const std::int64_t idle = presence_.count(Presence::kIdle);
  const bool others_may_come =
      presence_.count(Presence::kUnknown) + presence_.count(Presence::kReturning) > 0;
  if (idle >= options_.selected && !others_may_come) return select(now, effects);
  if (idle >= options_.size) {
    if (!grace_until_) grace_until_ = now + options_.selection_grace;
    if (now >= *grace_until_) return select(now, effects);
  } else {
    grace_until_.reset();
  }
  if (now < deadline_) return;
  if (idle >= options_.minimum) return select(now, effects);
  abandon(fmt::format("{} of {} clients were checked in after {} s, fewer than cohort.minimum {}", idle,
                      options_.clients, options_.selection_timeout.count() / 1000, options_.minimum),
          "See why the pods of the others are gone, or ask for fewer (cohort.minimum)", false, now, effects);
}

void RoundMachine::select(Instant now, Effects& effects) {
  std::vector<ClientId> candidates;
  for (ClientId client = 0; client < options_.clients; ++client) {
    const Presence where = presence_.of(client);
    if (where == Presence::kIdle) candidates.push_back(client);
    // Whoever did not come within the grace is not waited for again until it has.
    if (where == Presence::kUnknown || where == Presence::kReturning) presence_.set(client, Presence::kAway);
  }
  const auto cohort =
      options_.sizes.empty()
          ? draw_cohort(std::move(candidates), options_.selected, options_.seed, round_, attempt_)
          : draw_by_size(std::move(candidates), options_.sizes, options_.selected, options_.seed, round_,
                         attempt_);
  state_ = RoundState::kReporting;
  overdue_ = false;
  deadline_ = now + options_.report_deadline;
  const Instant useless_at =
      deadline_ + (options_.late_counts ? static_cast<int>(kClosedRoundsKept) : 0) * options_.report_deadline;
  effects.emplace_back(BeginRound{round_, cohort.size()});
  for (const auto& [client, copies] : cohort) {
    std::string id = options_.new_task_id();
    MUSTER_CHECK(find(id) == nullptr);
    presence_.set(client, Presence::kWorking);
    task_of_[client] = id;
    effects.emplace_back(AssignTask{client, round_, id, useless_at});
    tasks_.emplace(std::move(id),
                   TaskState{.client = client, .round = round_, .copies = copies, .useless_at = useless_at});
  }
}

void RoundMachine::consider_closing(Instant now, Effects& effects) {
  const bool due = now >= deadline_;
  const bool nobody_left = reported_ + refused_ == std::ssize(tasks_);
  if (draws_ < options_.size) {
    if (!due && !nobody_left) return;
    overdue_ = folding_ > 0;
    if (overdue_) return;  // what arrived in time counts
  }
  if (draws_ >= options_.minimum) {
    effects.emplace_back(CommitRound{round_, reported_});
    close(due, effects);
    state_ = RoundState::kCommitting;
    return;
  }
  std::string reason =
      fmt::format("{} of {} selected clients reported, {} were refused, fewer than cohort.minimum {}",
                  reported_, tasks_.size(), refused_, options_.minimum);
  if (due) reason += fmt::format(", within {} s", options_.report_deadline.count() / 1000);
  if (refused_ > 0) reason += fmt::format("; the last refused, {}", refusal_);
  const std::string advice =
      nobody_left ? "Every selected client answered, so more time would not help: mend what they were "
                    "refused for"
                  : "Give the clients more time (stragglers.deadlineSeconds), ask for fewer "
                    "(cohort.minimum), or see why their pods are gone";
  const bool all_refused = nobody_left && reported_ == 0;
  close(true, effects);
  abandon(reason, advice, all_refused, now, effects);
}

// Moves the round's tasks among the closed ones. At the deadline, who is still at work is dropped, until it
// turns out to be late; before it, who is at work may yet be heard of for kClosedRoundsKept rounds.
void RoundMachine::close(bool at_deadline, Effects& effects) {
  for (auto& [id, task] : tasks_) {
    if (at_deadline && task.progress == Progress::kAssigned && !task.lapsed) {
      task.counted_dropped = true;
      ++dropped_;
      if (presence_.of(task.client) == Presence::kWorking) presence_.set(task.client, Presence::kAway);
    }
  }
  ++cycle_;
  closed_.push_back(std::move(tasks_));
  tasks_.clear();
  task_of_.clear();
  if (closed_.size() > kClosedRoundsKept) forget_oldest(effects);
  refusal_.clear();
  configured_ = 0;
  folding_ = 0;
  reported_ = 0;
  draws_ = 0;
  refused_ = 0;
}

// Who never was heard of again is dropped, and away if it has been given nothing since.
void RoundMachine::forget_oldest(Effects& effects) {
  const Tasks oldest = std::move(closed_.front());
  closed_.erase(closed_.begin());
  std::unordered_set<ClientId> busy;
  for (const Tasks& newer : closed_) {
    for (const auto& [id, task] : newer) busy.insert(task.client);
  }
  for (const auto& [id, task] : oldest) {
    if (task.progress != Progress::kAssigned || task.lapsed) continue;
    if (!task.counted_dropped) ++dropped_;
    if (presence_.of(task.client) == Presence::kWorking && !busy.contains(task.client))
      presence_.set(task.client, Presence::kAway);
    if (options_.late_counts)
      effects.emplace_back(ForgetTask{id, fmt::format("its round {} is too long ago", task.round)});
  }
}

void RoundMachine::abandon(const std::string& reason, const std::string& advice, bool refused, Instant now,
                           Effects& effects) {
  effects.emplace_back(AbandonRound{round_, reason});
  ++failures_;
  ++attempt_;
  if (failures_ >= options_.failures_max) {
    end(fmt::format("round {} came to nothing {} times in a row; the last time {}. {}", round_, failures_,
                    reason, advice),
        true, refused, effects);
    return;
  }
  begin_selecting(now);
}

void RoundMachine::begin_selecting(Instant now) {
  state_ = RoundState::kSelecting;
  grace_until_.reset();
  deadline_ = now + options_.selection_timeout;
}

void RoundMachine::end(std::string reason, bool failed, bool refused, Effects& effects) {
  if (!tasks_.empty()) close(false, effects);
  state_ = failed ? RoundState::kFailed : RoundState::kFinished;
  outcome_ = reason;
  effects.emplace_back(Ended{std::move(reason), failed, refused});
  for (ClientId client = 0; client < options_.clients; ++client) {
    if (presence_.of(client) == Presence::kIdle) effects.emplace_back(Dismiss{client});
  }
}

}  // namespace muster::agg
