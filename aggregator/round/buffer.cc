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
  MUSTER_CHECK(presence_.count(Presence::kIdle) == std::ssize(idle_.clients()) +
                                                       std::ssize(gave_idle_.clients()) +
                                                       std::ssize(paused_idle_.clients()));
  MUSTER_CHECK(0 <= only_ && only_ <= std::ssize(open_));
  MUSTER_CHECK(over_ || making_ || buffered_ < options_.buffer);
}

std::optional<Instant> BufferMachine::next_deadline() const {
  if (over_) return std::nullopt;
  Instant next = quiet_since_ + options_.quiet_max;
  if (!due_.empty()) next = std::min(next, due_.begin()->first);
  return pauses_.empty() ? next : std::min(next, pauses_.begin()->first);
}

std::optional<KnownTask> BufferMachine::known(const std::string& task_id) const {
  const auto it = tasks_.find(task_id);
  if (it == tasks_.end()) return std::nullopt;
  return KnownTask{.client = it->second.client, .number = it->second.version + 1};
}

Judgement BufferMachine::judge(const std::string& task_id, Instant now) const {
  const auto it = tasks_.find(task_id);
  if (it == tasks_.end()) return Judgement::kUnknown;
  switch (it->second.progress) {
    case Progress::kReported: return Judgement::kAlreadyCounted;
    case Progress::kFolding: return Judgement::kBeingFolded;
    case Progress::kAssigned: break;
    case Progress::kReturned:
      if (now < it->second.deadline) break;
      return Judgement::kLate;
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

Result<Effects> BufferMachine::on(const CheckedIn& event, Instant now) {
  MUSTER_TRY(check_client(event.client, options_.clients));
  if (over_) return Effects{Dismiss{event.client}};
  Effects effects;
  if (const auto mine = open_.find(event.client); mine != open_.end()) {  // it lost its task, or never got it
    const std::string task_id = mine->second;
    if (!tasks_.at(task_id).configured) return Effects{assignment(task_id, tasks_.at(task_id), true)};
    give_up(task_id, "its client asked for another one", Presence::kReturning, effects);
    pause(event.client,
          now);  // each task is a record of the journal: one that is given up at once, and again
  }
  set_idle(event.client, true);
  return effects;
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
  // It has trained, or may have, with the version that it had: no other may be said to be its base.
  if (it->second.configured && it->second.version != version_)
    return failed_precondition(fmt::format(
        "task \"{}\" has its model, and there is a newer one by now; check in again for another task",
        event.task_id));
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
  if (task.progress == Progress::kReturned) {
    task.progress = Progress::kFolding;
  } else {
    leave_work(event.task_id, task, Progress::kFolding);
  }
  task.gathered = gathering_;
  gave(task.client, 1);
  return Effects{};
}

Result<Effects> BufferMachine::on(const Reported& event, Instant now) {
  const auto it = tasks_.find(event.task_id);
  if (it == tasks_.end() || it->second.progress != Progress::kFolding)
    return out_of_place("report", event.task_id);
  it->second.progress = Progress::kReported;
  ++buffered_;
  if (it->second.gathered != gathering_) gave(it->second.client, 1);  // a version was made meanwhile
  quiet_since_ = now;
  refused_in_a_row_ = 0;
  refused_clients_.clear();
  std::erase_if(refusals_, [](const auto& entry) { return !entry.second.paused_until; });
  for (auto& [client, refusals] : refusals_) refusals.times = 0;
  return Effects{};
}

Result<Effects> BufferMachine::on(const Refused& event, Instant now) {
  const auto it = tasks_.find(event.task_id);
  const bool arrived = it != tasks_.end() && it->second.progress == Progress::kFolding;
  if (!arrived && judge(event.task_id, now) != Judgement::kFold)
    return out_of_place("refusal", event.task_id);
  Task& task = it->second;
  if (task.progress == Progress::kAssigned) leave_work(event.task_id, task, Progress::kRefused);
  if (arrived && task.gathered == gathering_) gave(task.client, -1);
  task.progress = Progress::kRefused;
  ++dropped_;
  if (++refused_in_a_row_ == 1) refused_since_ = serial_;
  refused_clients_.insert(task.client);
  pause(task.client, now);
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
  while (!pauses_.empty()) end_pauses(pauses_.begin()->first);
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
  end_pauses(now);
  if (nothing_but_refused())
    return end(
        fmt::format("{} updates in a row were refused, the last one of {}. Mend what they were refused for",
                    refused_in_a_row_, refusal_),
        true, true, effects);
  if (now >= quiet_since_ + options_.quiet_max) {
    const std::string refused =
        refused_in_a_row_ == 0
            ? ""
            : fmt::format(", but {} that were refused, the last one of {}", refused_in_a_row_, refusal_);
    return end(
        fmt::format("no update came for {} s{}; see why the pods of the clients are gone, or give them more "
                    "time (stragglers.deadlineSeconds)",
                    options_.quiet_max.count() / 1000, refused),
        true, false, effects);
  }
  consider_version(effects);
  assign(now, effects);
}

// One that fails fast says nothing of the others: all that could have answered since must have been refused.
bool BufferMachine::nothing_but_refused() const {
  const std::int64_t enough = kRefusedFactor * std::max(options_.buffer, options_.at_work);
  if (refused_in_a_row_ < enough || std::ssize(refused_clients_) < std::min(enough, options_.clients))
    return false;
  return std::all_of(open_.begin(), open_.end(), [this](const auto& open) {
    return tasks_.at(open.second).serial > refused_since_ || refused_clients_.contains(open.first);
  });
}

// Who is not back by then is not counted on; an update that comes all the same is late.
void BufferMachine::expire(Instant now, Effects& effects) {
  while (!due_.empty() && due_.begin()->first <= now) {
    const std::string task_id = due_.begin()->second;
    give_up(task_id, fmt::format("it was due after {} s", options_.task_deadline.count() / 1000),
            Presence::kAway, effects);
  }
}

void BufferMachine::give_up(const std::string& task_id, const std::string& why, Presence presence,
                            Effects& effects) {
  Task& task = tasks_.at(task_id);
  const ClientId client = task.client;
  leave_work(task_id, task, Progress::kExpired);
  presence_.set(client, presence);
  ++dropped_;
  effects.emplace_back(ForgetTask{task_id, why});
}

void BufferMachine::consider_version(Effects& effects) {
  if (making_ || buffered_ < options_.buffer) return;
  making_ = true;
  effects.emplace_back(CommitRound{version_ + 1, std::exchange(buffered_, 0)});
  ++gathering_;
  gave_.clear();
  for (const ClientId client : std::vector(gave_idle_.clients())) move_idle(client);
  for (const auto& [client, task_id] : open_) tasks_.at(task_id).only = true;
  only_ = std::ssize(open_);
  effects.emplace_back(BeginRound{version_ + 2, open_.size()});
}

void BufferMachine::assign(Instant now, Effects& effects) {
  if (serial_ == 0 && !idle_.empty()) effects.emplace_back(BeginRound{version_ + 1, 0});
  while (const IdlePool* pool = drawable()) {
    Random random(hash_key(options_.seed, options_.committed, ++serial_));
    const ClientId client = pool->clients()[random.below(pool->clients().size())];
    const bool only = pool == &idle_;
    set_idle(client, false);
    presence_.set(client, Presence::kWorking);
    std::string id = options_.new_task_id();
    MUSTER_CHECK(!tasks_.contains(id));
    const Task& task = tasks_
                           .emplace(id, Task{.client = client,
                                             .version = version_,
                                             .serial = serial_,
                                             .only = only,
                                             .deadline = now + options_.task_deadline})
                           .first->second;
    due_.emplace(task.deadline, id);
    effects.emplace_back(assignment(id, task, false));
    open_.emplace(client, std::move(id));
    if (only) ++only_;
  }
}

IdlePool* BufferMachine::drawable() {
  if (std::ssize(open_) >= options_.at_work) return nullptr;
  if (!idle_.empty()) return &idle_;
  return only_ == 0 && !gave_idle_.empty() ? &gave_idle_ : nullptr;
}

void BufferMachine::gave(ClientId client, int updates) {
  const auto it = gave_.try_emplace(client, 0).first;
  if ((it->second += updates) <= 0) gave_.erase(it);
  move_idle(client);
}

void BufferMachine::pause(ClientId client, Instant now) {
  Refusals& refusals = refusals_[client];
  if (refusals.paused_until) pauses_.erase({*refusals.paused_until, client});
  std::chrono::milliseconds time = options_.refused_pause;
  for (int i = 0; i < refusals.times && time < options_.refused_pause_max; ++i) time *= 2;
  ++refusals.times;
  refusals.paused_until = now + std::min(time, options_.refused_pause_max);
  pauses_.emplace(*refusals.paused_until, client);
  move_idle(client);
}

void BufferMachine::end_pauses(Instant now) {
  while (!pauses_.empty() && pauses_.begin()->first <= now) {
    const ClientId client = pauses_.begin()->second;
    pauses_.erase(pauses_.begin());
    const auto it = refusals_.find(client);
    it->second.paused_until.reset();
    if (it->second.times == 0) refusals_.erase(it);
    move_idle(client);
  }
}

void BufferMachine::leave_work(const std::string& task_id, Task& task, Progress to) {
  task.progress = to;
  if (task.configured) --configured_;
  if (task.only) --only_;
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
  if (idle) {
    pool_of(client).add(client);
    presence_.set(client, Presence::kIdle);
    return;
  }
  for (IdlePool* pool : {&idle_, &gave_idle_, &paused_idle_}) pool->remove(client);
  presence_.set(client, Presence::kReturning);
}

IdlePool& BufferMachine::pool_of(ClientId client) {
  const auto refusals = refusals_.find(client);
  if (refusals != refusals_.end() && refusals->second.paused_until) return paused_idle_;
  return gave_.contains(client) ? gave_idle_ : idle_;
}

void BufferMachine::move_idle(ClientId client) {
  if (presence_.of(client) != Presence::kIdle) return;
  for (IdlePool* pool : {&idle_, &gave_idle_, &paused_idle_}) pool->remove(client);
  pool_of(client).add(client);
}

void BufferMachine::end(std::string reason, bool failed, bool refused, Effects& effects) {
  over_ = true;
  failed_ = failed;
  outcome_ = reason;
  effects.emplace_back(Ended{std::move(reason), failed, refused});
  std::vector<ClientId> idle = idle_.clients();
  for (const IdlePool* pool : {&gave_idle_, &paused_idle_})
    idle.insert(idle.end(), pool->clients().begin(), pool->clients().end());
  std::sort(idle.begin(), idle.end());
  for (const ClientId client : idle) effects.emplace_back(Dismiss{client});
}

}  // namespace muster::agg
