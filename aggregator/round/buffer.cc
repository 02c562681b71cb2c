// aggregator/round/buffer.cc: transitions of the machine without rounds
#include "aggregator/round/buffer.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/check.h"
#include "common/base/random.h"

namespace muster::agg {
namespace {

constexpr std::size_t kEndedTasksMin = 64;  // whose clients are told what became of them, beside 4 at_work
constexpr std::int64_t kRefusedFactor = 3;  // buffers of nothing but refused updates: more would not help

}  // namespace

BufferMachine::BufferMachine(BufferOptions options, Instant now)
    : options_(std::move(options)),
      version_(options_.committed),
      presence_(options_.clients),
      place_(static_cast<std::size_t>(options_.clients)),
      quiet_since_(now) {
  MUSTER_CHECK(options_.new_task_id && options_.buffer >= 1 && options_.staleness_max >= 0);
  MUSTER_CHECK(1 <= options_.at_work && options_.at_work <= options_.clients);
  if (version_ < options_.versions) return;
  over_ = true;
  outcome_ = fmt::format("all {} versions are done", options_.versions);
}

Result<Effects> BufferMachine::step(const Event& event, Instant now) {
  MUSTER_ASSIGN(Effects effects, std::visit([&](const auto& it) { return on(it, now); }, event));
  advance(now, effects);
  check_invariants();
  return effects;
}

void BufferMachine::check_invariants() const {
  MUSTER_CHECK(std::ssize(open_) <= options_.at_work && open_.size() == due_.size());
  MUSTER_CHECK(open_.size() + ended_.size() == tasks_.size());
  MUSTER_CHECK(presence_.count(Presence::kIdle) == std::ssize(idle_));
  MUSTER_CHECK(over_ || making_ || buffered_ < options_.buffer);
}

std::optional<Instant> BufferMachine::next_deadline() const {
  if (over_) return std::nullopt;
  const Instant quiet = quiet_since_ + options_.quiet_max;
  return due_.empty() ? quiet : std::min(quiet, due_.begin()->first);
}

std::optional<KnownTask> BufferMachine::known(const std::string& task_id) const {
  const auto it = tasks_.find(task_id);
  if (it == tasks_.end()) return std::nullopt;
  return KnownTask{.client = it->second.client, .number = it->second.version + 1};
}

Judgement BufferMachine::judge(const std::string& task_id, Instant /*now*/) const {
  const auto it = tasks_.find(task_id);
  if (it == tasks_.end()) return Judgement::kUnknown;
  switch (it->second.progress) {
    case Progress::kReported: return Judgement::kAlreadyCounted;
    case Progress::kFolding: return Judgement::kBeingFolded;
    case Progress::kAssigned: break;
    default: return Judgement::kLate;
  }
  // Of the version that its update would be a part of.
  const std::int64_t staleness = version_ + (making_ ? 1 : 0) - it->second.version;
  return over_ || staleness > options_.staleness_max ? Judgement::kLate : Judgement::kFold;
}

Result<Instant> BufferMachine::task_deadline(const std::string& task_id) const {
  const auto it = tasks_.find(task_id);
  const bool at_work = it != tasks_.end() && it->second.progress == Progress::kAssigned && !over_;
  if (at_work) return it->second.deadline;
  return no_open_task(task_id, it != tasks_.end());
}

RoundCounts BufferMachine::counts() const {
  return {.committed = version_,
          .connected = presence_.connected(),
          .selected = std::ssize(open_),
          .configured = configured_,
          .reported = buffered_,
          .late = late_,
          .dropped = dropped_};
}

Result<Effects> BufferMachine::on(const CheckedIn& event, Instant /*now*/) {
  MUSTER_TRY(check_client(event.client, options_.clients));
  if (over_) return Effects{Dismiss{event.client}};
  if (const auto mine = open_.find(event.client); mine != open_.end())  // it lost its task, or never got it
    return Effects{assignment(mine->second, tasks_.at(mine->second))};
  set_idle(event.client, true);
  return Effects{};
}

Result<Effects> BufferMachine::on(const Left& event, Instant /*now*/) {
  MUSTER_TRY(check_client(event.client, options_.clients));
  if (presence_.of(event.client) != Presence::kIdle) return Effects{};
  set_idle(event.client, false);
  presence_.set(event.client, event.returning ? Presence::kReturning : Presence::kAway);
  return Effects{};
}

Result<Effects> BufferMachine::on(const Fetching& event, Instant /*now*/) {
  const auto it = tasks_.find(event.task_id);
  if (it == tasks_.end() || it->second.progress != Progress::kAssigned)
    return out_of_place("download", event.task_id);
  it->second.version = version_;
  return Effects{};
}

Result<Effects> BufferMachine::on(const Downloaded& event, Instant /*now*/) {
  const auto it = tasks_.find(event.task_id);
  if (it == tasks_.end() || it->second.progress != Progress::kAssigned)
    return out_of_place("download", event.task_id);
  if (!std::exchange(it->second.configured, true)) ++configured_;
  return Effects{};
}

Result<Effects> BufferMachine::on(const Arrived& event, Instant now) {
  if (judge(event.task_id, now) != Judgement::kFold) return out_of_place("update", event.task_id);
  Task& task = tasks_.at(event.task_id);
  leave_work(event.task_id, task, Progress::kFolding);
  return Effects{};
}

Result<Effects> BufferMachine::on(const Reported& event, Instant now) {
  const auto it = tasks_.find(event.task_id);
  if (it == tasks_.end() || it->second.progress != Progress::kFolding)
    return out_of_place("report", event.task_id);
  it->second.progress = Progress::kReported;
  ++buffered_;
  quiet_since_ = now;
  refused_in_a_row_ = 0;
  return Effects{};
}

Result<Effects> BufferMachine::on(const Refused& event, Instant now) {
  const auto it = tasks_.find(event.task_id);
  const bool arrived = it != tasks_.end() && it->second.progress == Progress::kFolding;
  if (!arrived && judge(event.task_id, now) != Judgement::kFold)
    return out_of_place("refusal", event.task_id);
  Task& task = it->second;
  if (!arrived) leave_work(event.task_id, task, Progress::kRefused);
  task.progress = Progress::kRefused;
  ++dropped_;
  ++refused_in_a_row_;
  refusal_ = fmt::format("client {}: {}", task.client, event.reason);
  return Effects{};
}

Result<Effects> BufferMachine::on(const Lapsed& event, Instant now) {
  if (judge(event.task_id, now) != Judgement::kLate) return out_of_place("late update", event.task_id);
  Task& task = tasks_.at(event.task_id);
  if (task.progress == Progress::kAssigned) {
    leave_work(event.task_id, task, Progress::kLapsed);
  } else if (task.progress == Progress::kExpired) {  // not lost after all, only late
    --dropped_;
    task.progress = Progress::kLapsed;
    if (presence_.of(task.client) == Presence::kAway) presence_.set(task.client, Presence::kReturning);
  } else {
    return Effects{};
  }
  ++late_;
  return Effects{};
}

Result<Effects> BufferMachine::on(const Committed& /*event*/, Instant /*now*/) {
  if (!making_) return failed_precondition("no version waits to be committed");
  Effects effects;
  making_ = false;
  ++version_;
  if (version_ >= options_.versions)
    end(fmt::format("all {} versions are done", options_.versions), false, false, effects);
  return effects;
}

Result<Effects> BufferMachine::on(const Stopped& event, Instant /*now*/) {
  if (over_) return failed_precondition("the federation is over already");
  Effects effects;
  end(event.reason, event.failed, false, effects);
  return effects;
}

Result<Effects> BufferMachine::on(const Tick& /*event*/, Instant /*now*/) { return Effects{}; }

void BufferMachine::advance(Instant now, Effects& effects) {
  if (over_) return;
  expire(now, effects);
  if (refused_in_a_row_ >= kRefusedFactor * std::max(options_.buffer, options_.at_work))
    return end(
        fmt::format("{} updates in a row were refused, the last one of {}. Mend what they were refused for",
                    refused_in_a_row_, refusal_),
        true, true, effects);
  if (now >= quiet_since_ + options_.quiet_max)
    return end(
        fmt::format("no update came for {} s; see why the pods of the clients are gone, or give them more "
                    "time (stragglers.deadlineSeconds)",
                    options_.quiet_max.count() / 1000),
        true, false, effects);
  consider_version(effects);
  assign(now, effects);
}

// Who is not back by then is not counted on; an update that comes all the same is late.
void BufferMachine::expire(Instant now, Effects& effects) {
  while (!due_.empty() && due_.begin()->first <= now) {
    const std::string task_id = due_.begin()->second;
    Task& task = tasks_.at(task_id);
    leave_work(task_id, task, Progress::kExpired);
    presence_.set(task.client, Presence::kAway);
    ++dropped_;
    effects.emplace_back(
        ForgetTask{task_id, fmt::format("it was due after {} s", options_.task_deadline.count() / 1000)});
  }
}

void BufferMachine::consider_version(Effects& effects) {
  if (making_ || buffered_ < options_.buffer) return;
  making_ = true;
  effects.emplace_back(CommitRound{version_ + 1, std::exchange(buffered_, 0)});
  effects.emplace_back(BeginRound{version_ + 2, open_.size()});
}

void BufferMachine::assign(Instant now, Effects& effects) {
  if (serial_ == 0 && !idle_.empty()) effects.emplace_back(BeginRound{version_ + 1, 0});
  while (std::ssize(open_) < options_.at_work && !idle_.empty()) {
    Random random(hash_key(options_.seed, options_.committed, ++serial_));
    const ClientId client = idle_[random.below(idle_.size())];
    set_idle(client, false);
    presence_.set(client, Presence::kWorking);
    std::string id = options_.new_task_id();
    MUSTER_CHECK(!tasks_.contains(id));
    const Task& task = tasks_
                           .emplace(id, Task{.client = client,
                                             .version = version_,
                                             .serial = serial_,
                                             .deadline = now + options_.task_deadline})
                           .first->second;
    due_.emplace(task.deadline, id);
    effects.emplace_back(assignment(id, task));
    open_.emplace(client, std::move(id));
  }
}

AssignTask BufferMachine::assignment(const std::string& task_id, const Task& task) const {
  return {.client = task.client,
          .round = task.version + 1,
          .task_id = task_id,
          .deadline = task.deadline,
          .serial = task.serial};
}

void BufferMachine::leave_work(const std::string& task_id, Task& task, Progress to) {
  task.progress = to;
  if (task.configured) --configured_;
  due_.erase({task.deadline, task_id});
  open_.erase(task.client);
  presence_.set(task.client, Presence::kReturning);
  ended_.push_back(task_id);
  const std::size_t kept = kEndedTasksMin + 4 * static_cast<std::size_t>(options_.at_work);
  // One that is being folded is as new as its fold: of those there are never as many as are kept.
  while (ended_.size() > kept && tasks_.at(ended_.front()).progress != Progress::kFolding) {
    tasks_.erase(ended_.front());
    ended_.pop_front();
  }
}

void BufferMachine::set_idle(ClientId client, bool idle) {
  if ((presence_.of(client) == Presence::kIdle) == idle) return;
  std::size_t& place = place_[static_cast<std::size_t>(client)];
  if (idle) {
    place = idle_.size();
    idle_.push_back(client);
    presence_.set(client, Presence::kIdle);
    return;
  }
  idle_[place] = idle_.back();
  place_[static_cast<std::size_t>(idle_.back())] = place;
  idle_.pop_back();
  presence_.set(client, Presence::kReturning);
}

void BufferMachine::end(std::string reason, bool failed, bool refused, Effects& effects) {
  over_ = true;
  failed_ = failed;
  outcome_ = reason;
  effects.emplace_back(Ended{std::move(reason), failed, refused});
  std::vector<ClientId> idle = idle_;
  std::sort(idle.begin(), idle.end());
  for (const ClientId client : idle) effects.emplace_back(Dismiss{client});
}

}  // namespace muster::agg
