// aggregator/round/buffer_resume.cc: a federation without rounds that goes on where an earlier process was
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "aggregator/round/buffer.h"
#include "common/base/check.h"

namespace muster::agg {

namespace {

// A client has one task at work, its newest; what it holds of those before may still come. No more are at
// work than may be, the newest.
std::set<std::string> at_work_of(const std::vector<ResumedTask>& tasks, std::int64_t most) {
  std::map<ClientId, const ResumedTask*> newest;
  for (const ResumedTask& task : tasks) {
    if (task.fate != TaskFate::kAssigned) continue;
    const ResumedTask*& known = newest[task.client];
    if (known == nullptr || task.serial > known->serial) known = &task;
  }
  std::vector<const ResumedTask*> all;
  all.reserve(newest.size());
  for (const auto& [client, task] : newest) all.push_back(task);
  std::stable_sort(all.begin(), all.end(),
                   [](const auto* a, const auto* b) { return a->serial > b->serial; });
  if (std::ssize(all) > most) all.resize(static_cast<std::size_t>(most));
  std::set<std::string> ids;
  for (const ResumedTask* task : all) ids.insert(task->id);
  return ids;
}

}  // namespace

// Who was at work is at work, and may download anew; what was in the buffer comes again as it is folded.
void BufferMachine::restore(const Resume& resume, Instant now) {
  MUSTER_CHECK(tasks_.empty() && serial_ == 0);
  const auto progress_of = [](TaskFate fate) {
    switch (fate) {
      case TaskFate::kArrived: return Progress::kFolding;
      case TaskFate::kReported: return Progress::kReported;
      case TaskFate::kRefused: return Progress::kRefused;
      case TaskFate::kLate: return Progress::kLapsed;
      case TaskFate::kAssigned: return Progress::kReturned;
      default: return Progress::kExpired;
    }
  };
  const std::set<std::string> working =
      over_ ? std::set<std::string>() : at_work_of(resume.tasks, options_.at_work);
  for (const ResumedTask& task : resume.tasks) {
    serial_ = std::max(serial_, task.serial);
    const bool at_work = working.contains(task.id);
    Task state{.client = task.client,
               .version = task.number - 1,
               .serial = task.serial,
               .progress = at_work ? Progress::kAssigned : progress_of(task.fate),
               .gathered = gathering_,
               .deadline = now + options_.task_deadline};
    if (!tasks_.emplace(task.id, state).second) continue;
    if (at_work) {
      open_.emplace(task.client, task.id);
      due_.emplace(state.deadline, task.id);
      presence_.set(task.client, Presence::kWorking);
    } else {
      ended_.push_back(task.id);
      if (state.progress == Progress::kFolding) gave(task.client, 1);
    }
  }
  for (const auto& [client, task_id] : open_) {
    tasks_.at(task_id).only = !gave_.contains(client);
    if (!gave_.contains(client)) ++only_;
  }
  check_invariants();
}

Resume BufferMachine::resume() const {
  Resume resume;
  resume.tasks.reserve(tasks_.size());
  const auto add = [&](const std::string& id) {
    const Task& task = tasks_.at(id);
    TaskFate fate = TaskFate::kExpired;
    if (task.progress == Progress::kAssigned || task.progress == Progress::kReturned)
      fate = TaskFate::kAssigned;
    if (task.progress == Progress::kFolding) fate = TaskFate::kArrived;
    if (task.progress == Progress::kReported) fate = TaskFate::kReported;
    if (task.progress == Progress::kRefused) fate = TaskFate::kRefused;
    if (task.progress == Progress::kLapsed) fate = TaskFate::kLate;
    resume.tasks.push_back({.id = id,
                            .client = task.client,
                            .number = task.version + 1,
                            .copies = 1,
                            .serial = task.serial,
                            .fate = fate,
                            .cycle = 0});
  };
  for (const std::string& id : ended_) add(id);
  for (const auto& [client, id] : open_) add(id);
  return resume;
}

AssignTask BufferMachine::assignment(const std::string& task_id, const Task& task, bool again) const {
  return {.client = task.client,
          .round = task.version + 1,
          .task_id = task_id,
          .deadline = task.deadline,
          .serial = task.serial,
          .again = again};
}

// Another has its place at work by now; but its client holds the update, and may bring it until it is due.
Result<Effects> BufferMachine::on(const Returned& event, Instant /*now*/) {
  const auto it = tasks_.find(event.task_id);
  if (it == tasks_.end() || it->second.progress != Progress::kFolding)
    return out_of_place("return", event.task_id);
  if (it->second.gathered == gathering_) gave(it->second.client, -1);
  it->second.progress = Progress::kReturned;
  return Effects{};
}

}  // namespace muster::agg
