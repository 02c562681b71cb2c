// aggregator/shell/upload.cc: checks on chunks, which come from outside
#include "aggregator/shell/upload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include "common/base/check.h"

namespace muster::agg {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr std::chrono::seconds kPaceTime{5};         // a shorter pause is the network's
constexpr std::chrono::seconds kWaitingTime{2};      // who waits asks again within half a second
constexpr std::chrono::milliseconds kLookTime{100};  // a crowd is not counted anew for each that asks
constexpr std::uint64_t kTurnsMax = 4;               // a crowd cuts no turn below this part of the time left

// Until an upload is whole, at its pace since it began; one that stands still never is.
Seconds left_at_pace(std::uint64_t received, std::uint64_t bytes, Seconds since) {
  if (received == 0) return Seconds::max();
  return since * (static_cast<double>(bytes - received) / static_cast<double>(received));
}

}  // namespace

bool UploadBudget::take(std::uint64_t bytes) {
  std::uint64_t left = left_;
  while (left >= bytes) {
    if (left_.compare_exchange_weak(left, left - bytes)) return true;
  }
  return false;
}

UploadBuffer::UploadBuffer(federation::v1::UploadHeader header, std::shared_ptr<UploadBudget> budget)
    : header_(std::move(header)),
      budget_(std::move(budget)),
      count_(header_.update_bytes() / sizeof(float)),
      values_(std::make_unique_for_overwrite<float[]>(count_)) {  // NOLINT(*-avoid-c-arrays)
  MUSTER_CHECK(count_ * sizeof(float) == header_.update_bytes());
}

void UploadBuffer::give_budget_back() {
  if (budgeted_.exchange(false)) budget_->give(room_of_upload(header_.update_bytes()));
}

Status UploadBuffer::append(const federation::v1::Chunk& chunk) {
  const std::uint64_t size = chunk.data().size();
  const std::uint64_t before = received();
  if (chunk.offset() != before) {
    return invalid_argument(fmt::format("upload of task \"{}\": the chunk begins at byte {}, byte {} was due",
                                        header_.task_id(), chunk.offset(), before));
  }
  if (size == 0 || size > kChunkBytesMax) {
    return invalid_argument(fmt::format("upload of task \"{}\": a chunk of {} bytes; 1 to {} are allowed",
                                        header_.task_id(), size, kChunkBytesMax));
  }
  if (size > header_.update_bytes() - before) {
    return invalid_argument(fmt::format("upload of task \"{}\": more bytes than the {} of its header",
                                        header_.task_id(), header_.update_bytes()));
  }
  auto* const to = reinterpret_cast<std::byte*>(values_.get()) + before;
  std::memcpy(to, chunk.data().data(), static_cast<std::size_t>(size));
  sha256_.update({to, static_cast<std::size_t>(size)});
  received_.store(before + size, std::memory_order_relaxed);
  return {};
}

Status UploadBuffer::verify() const {
  MUSTER_CHECK(whole());
  if (sha256_.hex() == header_.update_sha256()) return {};
  return data_loss(fmt::format(
      "upload of task \"{}\": its SHA-256 is not the one in its header; it was damaged on its way, "
      "send it again",
      header_.task_id()));
}

Result<std::shared_ptr<UploadBuffer>> UploadDesk::open(const federation::v1::UploadHeader& header,
                                                       Instant now) {
  const auto it = entries_.find(header.task_id());
  const std::uint64_t room = room_of_upload(header.update_bytes());
  if (header.offset() > 0) {
    const bool fits = it != entries_.end() && !it->second.filling &&
                      it->second.buffer->received() == header.offset() &&
                      it->second.buffer->header().update_sha256() == header.update_sha256();
    if (!fits) {
      return failed_precondition(fmt::format("upload of task \"{}\" cannot go on at byte {}; start over at 0",
                                             header.task_id(), header.offset()));
    }
    if (would_take_from_others(header.task_id(), room, now)) return refuse_for_now(header.task_id(), now);
    it->second.buffer->adopt(header);
    it->second = {.buffer = std::move(it->second.buffer),
                  .filling = true,
                  .since = now,
                  .from = header.offset(),
                  .began = it->second.began};
    return it->second.buffer;
  }
  Instant began = now;
  if (it != entries_.end()) {
    began = it->second.began;
    drop(it);
  }
  if (would_take_from_others(header.task_id(), room, now) || !make_room(room))
    return refuse_for_now(header.task_id(), now);
  waiting_.erase(header.task_id());
  auto buffer = std::make_shared<UploadBuffer>(header, budget_);
  entries_[header.task_id()] = {.buffer = buffer, .since = now, .began = began};
  return buffer;
}

// A slow one takes no place from those that wait: it has had its turn.
Error UploadDesk::refuse_for_now(const std::string& task_id, Instant now) {
  if (!slow_.contains(task_id)) waiting_[task_id] = now;
  return resource_exhausted(
      "the aggregator has no memory for another upload just now; try again in a moment");
}

// Only one that was slow: any other goes on, or takes what room there is. The updates of all are as long.
bool UploadDesk::would_take_from_others(const std::string& task_id, std::uint64_t bytes, Instant now) {
  if (!slow_.contains(task_id)) return false;
  forget_those_gone(now);
  if (waiting_.empty()) return false;
  std::uint64_t within_reach = budget_->left();
  for (const auto& [_, entry] : entries_)
    if (!entry.filling) within_reach += room_of_upload(entry.buffer->header().update_bytes());
  return within_reach < (waiting_.size() + 1) * bytes;
}

std::vector<std::string> UploadDesk::pause_slow(Instant now, const DeadlineOf& deadline_of) {
  std::vector<std::string> tasks;
  for (const auto& [task, entry] : entries_) {
    if (!entry.filling || now - entry.since < kPaceTime) continue;
    const auto moved = static_cast<double>(entry.buffer->received() - entry.from);
    const auto missing =
        static_cast<double>(entry.buffer->header().update_bytes() - entry.buffer->received());
    const double pace = moved / Seconds(now - entry.since).count();  // bytes a second
    if (missing > pace * Seconds(deadline_of(task) - now).count()) tasks.push_back(task);
  }
  for (const std::string& task : tasks) pause_for_pace(task);
  pause_those_whose_turn_is_over(now, deadline_of, tasks);
  return tasks;
}

// Else those that come first, and send just fast enough for their deadline, hold all the room until then. An
// honest crowd on a slow network looks alike, and what is paused has mostly been sent in vain: so only the
// slower half of the places changes hands, and no more often than somebody new has had time to show a pace.
void UploadDesk::pause_those_whose_turn_is_over(Instant now, const DeadlineOf& deadline_of,
                                                std::vector<std::string>& tasks) {
  forget_those_gone(now);
  if (waiting_.empty() || now < next_turns_) return;
  next_turns_ = now + kLookTime;
  std::uint64_t room = 1;
  std::vector<std::pair<Seconds, std::string>> filling;  // also those too new to be judged
  for (const auto& [task, entry] : entries_) {
    const std::uint64_t bytes = entry.buffer->header().update_bytes();
    room = std::max(room, room_of_upload(bytes));
    if (entry.filling)
      filling.emplace_back(left_at_pace(entry.buffer->received(), bytes, now - entry.began), task);
  }
  const std::uint64_t places = std::max(bytes_max_ / room, std::uint64_t{1});
  const std::uint64_t turns = std::min((filling.size() + waiting_.size() + places - 1) / places, kTurnsMax);
  if (turns < 2) return;  // who waits has a place as soon as what is whole is folded
  std::ranges::sort(filling, std::greater<>());
  filling.resize(std::min(filling.size(), std::max(filling.size() / 2, std::size_t{1})));
  std::size_t for_others = waiting_.size();
  for (const auto& [left, task] : filling) {
    const Instant began = entries_.at(task).began;
    const Instant due = began + (deadline_of(task) - began) / static_cast<int>(turns);
    if (now - began < kPaceTime || left <= Seconds(due - now)) continue;
    if (for_others-- == 0) return;
    next_turns_ = now + kPaceTime;
    pause_for_pace(task);
    tasks.push_back(task);
  }
}

void UploadDesk::forget_those_gone(Instant now) {
  if (now < next_forgetting_) return;
  next_forgetting_ = now + kLookTime;
  std::erase_if(waiting_, [&](const auto& it) { return now - it.second > kWaitingTime; });
}

void UploadDesk::pause_for_pace(const std::string& task_id) {
  entries_.at(task_id).filling = false;
  slow_.insert(task_id);
  waiting_.erase(task_id);
}

void UploadDesk::pause(const std::string& task_id, const std::shared_ptr<UploadBuffer>& buffer) {
  const auto it = entries_.find(task_id);
  if (it != entries_.end() && it->second.buffer == buffer) it->second.filling = false;
}

bool UploadDesk::take(const std::shared_ptr<UploadBuffer>& buffer) {
  const auto it = entries_.find(buffer->header().task_id());
  if (it == entries_.end() || it->second.buffer != buffer) return false;
  slow_.erase(it->first);
  entries_.erase(it);
  return true;
}

void UploadDesk::clear() {
  for (auto it = entries_.begin(); it != entries_.end();) it = drop(it);
  waiting_.clear();
  slow_.clear();
}

void UploadDesk::forget(const std::string& task_id) {
  waiting_.erase(task_id);
  slow_.erase(task_id);
  if (const auto it = entries_.find(task_id); it != entries_.end()) drop(it);
}

UploadDesk::Entries::iterator UploadDesk::drop(Entries::iterator entry) {
  entry->second.buffer->give_budget_back();
  dropped_.push_back(std::move(entry->second.buffer));
  return entries_.erase(entry);
}

// A broken upload may go on, but one that is here goes before it: its client may never come back.
bool UploadDesk::make_room(std::uint64_t bytes) {
  while (!budget_->take(bytes)) {
    const auto broken = std::find_if(entries_.begin(), entries_.end(),
                                     [](const auto& entry) { return !entry.second.filling; });
    if (broken == entries_.end()) return false;
    drop(broken);
  }
  return true;
}

std::uint64_t UploadDesk::offset(const std::string& task_id, const std::string& update_sha256) const {
  const auto it = entries_.find(task_id);
  if (it == entries_.end() || it->second.filling) return 0;
  const UploadBuffer& buffer = *it->second.buffer;
  return update_sha256.empty() || update_sha256 == buffer.header().update_sha256() ? buffer.received() : 0;
}

}  // namespace muster::agg
