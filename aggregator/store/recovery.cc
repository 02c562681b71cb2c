// aggregator/store/recovery.cc: one pass over the records
#include "aggregator/store/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace muster::agg {
namespace {

constexpr std::uint64_t kSequenceMax = std::uint64_t{1} << 62;

}  // namespace

std::uint64_t Recovered::settled() const {
  if (useless) return ~std::uint64_t{0};
  std::uint64_t needed = tail.empty() ? next_sequence : tail.front().update.sequence;
  for (const ClosedRound& round : closed)
    for (const PendingUpdate& pending : round.taken) needed = std::min(needed, pending.update.sequence);
  return needed - 1;
}

Status Recovery::add(PlacedRecord placed, std::shared_ptr<const void> holder) {
  if (auto* start = std::get_if<JournalStart>(&placed.record)) return add(*start);
  if (!started_) return data_loss("the file does not say whose journal it is");
  if (useless_) return {};
  if (auto* update = std::get_if<UpdateKept>(&placed.record))
    return keep(std::move(*update), placed.values, std::move(holder));
  if (const auto* given = std::get_if<TasksGiven>(&placed.record)) return add(*given);
  if (const auto* fetched = std::get_if<TaskFetched>(&placed.record)) return add(*fetched);
  if (const auto* over = std::get_if<TaskOver>(&placed.record)) return add(*over);
  return add(std::get<RoundClosed>(placed.record));
}

// Each file begins with all that those before said of tasks. What they said of updates stays.
Status Recovery::add(JournalStart& record) {
  if (useless_) {  // this one was begun without those before
    useless_.reset();
    started_ = false;
    next_sequence_ = 1;
    pending_.clear();
    closed_.clear();
  }
  if (record.owner != owner_) {
    useless_ = "the journal is of another federation, or another object of that name";
  } else if (!started_ && record.round > committed_) {
    useless_ = fmt::format("the journal begins behind round {}, the newest whole checkpoint is of round {}",
                           record.round, committed_);
  }
  started_ = true;
  round_ = record.round;
  attempt_ = record.resume.attempt;
  cycle_ = record.resume.cycle;
  next_sequence_ = std::max(next_sequence_, record.next_sequence);
  tasks_.clear();
  place_.clear();
  for (const ResumedTask& task : record.resume.tasks) give(task);
  return {};
}

Status Recovery::add(const TasksGiven& record) {
  for (const ResumedTask& task : record.tasks) {
    cycle_ = std::max(cycle_, task.cycle);
    if (!place_.contains(task.id)) give(task);
  }
  return {};
}

void Recovery::give(const ResumedTask& task) {
  const bool sound = task.client >= 0 && task.client < owner_.clients && task.copies >= 1 && task.number >= 1;
  if (!sound || !place_.emplace(task.id, tasks_.size()).second) return;
  tasks_.push_back(task);
}

Status Recovery::add(const TaskFetched& record) {
  if (const auto it = place_.find(record.id); it != place_.end()) tasks_[it->second].number = record.number;
  return {};
}

Status Recovery::add(const TaskOver& record) {
  set_fate(record.id, record.fate);
  return {};
}

void Recovery::set_fate(const std::string& id, TaskFate fate) {
  if (const auto it = place_.find(id); it != place_.end()) tasks_[it->second].fate = fate;
}

Status Recovery::keep(UpdateKept update, std::span<const float> values, std::shared_ptr<const void> holder) {
  const bool sound = update.client >= 0 && update.client < owner_.clients && update.number >= 1 &&
                     values.size() == owner_.parameters;
  if (!sound || update.sequence < next_sequence_ || update.sequence > kSequenceMax)
    return data_loss(fmt::format("update {} is not one of this federation", update.sequence));
  next_sequence_ = update.sequence + 1;
  set_fate(update.id, TaskFate::kArrived);
  const std::uint64_t sequence = update.sequence;
  pending_.emplace(sequence, PendingUpdate{std::move(update), values, std::move(holder)});
  return {};
}

Status Recovery::add(const RoundClosed& record) {
  ClosedRound closed{.round = record.round, .taken = {}};
  for (const auto& [sequence, id] : record.taken) {
    set_fate(id, TaskFate::kReported);
    const auto it = pending_.find(sequence);
    const bool needed = record.committed && record.round > committed_;
    if (it == pending_.end() && needed)
      return data_loss(
          fmt::format("round {} has update {}, which is not in the journal", record.round, sequence));
    if (it == pending_.end()) continue;
    closed.taken.push_back(std::move(it->second));
    pending_.erase(it);
  }
  while (!pending_.empty() && pending_.begin()->first <= record.settled) {
    set_fate(pending_.begin()->second.update.id, TaskFate::kLate);
    pending_.erase(pending_.begin());
  }
  if (record.ends_tasks) cycle_ = std::max(cycle_, record.cycle + 1);
  if (!record.committed) {
    ++attempt_;
    return {};
  }
  if (record.round <= round_) return {};  // said again
  round_ = record.round;
  attempt_ = 0;
  if (record.round > committed_) closed_.push_back(std::move(closed));
  return {};
}

Recovered Recovery::finish() {
  if (started_ && !useless_ && round_ < committed_)
    useless_ = fmt::format("the journal ends before round {}, which is saved", committed_);
  Recovered recovered;
  if (useless_) {
    recovered.useless = true;
    recovered.notes.push_back(*useless_ + ": it is not used, and the round under way is asked again");
    return recovered;
  }
  recovered.closed = std::move(closed_);
  recovered.tail.reserve(pending_.size());
  std::unordered_set<std::string> here;
  for (auto& [sequence, update] : pending_) {
    here.insert(update.update.id);
    recovered.tail.push_back(std::move(update));
  }
  // It had its turn, in a file that is not needed any more, and was not taken.
  for (ResumedTask& task : tasks_)
    if (task.fate == TaskFate::kArrived && !here.contains(task.id)) task.fate = TaskFate::kLate;
  recovered.resume = {.attempt = attempt_, .cycle = cycle_, .tasks = std::move(tasks_)};
  recovered.next_sequence = next_sequence_;
  return recovered;
}

}  // namespace muster::agg
