// aggregator/shell/upload.cc: checks on chunks, which come from outside
#include "aggregator/shell/upload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/check.h"

namespace muster::agg {
namespace {

constexpr std::chrono::seconds kPaceTime{5};  // a shorter pause is the network's

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
  if (header.offset() > 0) {
    const bool fits = it != entries_.end() && !it->second.filling &&
                      it->second.buffer->received() == header.offset() &&
                      it->second.buffer->header().update_sha256() == header.update_sha256();
    if (!fits) {
      return failed_precondition(fmt::format("upload of task \"{}\" cannot go on at byte {}; start over at 0",
                                             header.task_id(), header.offset()));
    }
    it->second.buffer->adopt(header);
    it->second = {
        .buffer = std::move(it->second.buffer), .filling = true, .since = now, .from = header.offset()};
    return it->second.buffer;
  }
  if (it != entries_.end()) drop(it);
  if (!make_room(room_of_upload(header.update_bytes()))) {
    return resource_exhausted(
        "the aggregator has no memory for another upload just now; try again in a moment");
  }
  auto buffer = std::make_shared<UploadBuffer>(header, budget_);
  entries_[header.task_id()] = {.buffer = buffer, .since = now};
  return buffer;
}

std::vector<std::string> UploadDesk::pause_slow(Instant now, Instant deadline) {
  using Seconds = std::chrono::duration<double>;
  std::vector<std::string> tasks;
  for (auto& [task, entry] : entries_) {
    if (!entry.filling || now - entry.since < kPaceTime) continue;
    const auto moved = static_cast<double>(entry.buffer->received() - entry.from);
    const auto missing =
        static_cast<double>(entry.buffer->header().update_bytes() - entry.buffer->received());
    const double pace = moved / Seconds(now - entry.since).count();  // bytes a second
    if (missing <= pace * Seconds(deadline - now).count()) continue;
    entry.filling = false;
    tasks.push_back(task);
  }
  return tasks;
}

void UploadDesk::pause(const std::string& task_id, const std::shared_ptr<UploadBuffer>& buffer) {
  const auto it = entries_.find(task_id);
  if (it != entries_.end() && it->second.buffer == buffer) it->second.filling = false;
}

bool UploadDesk::take(const std::shared_ptr<UploadBuffer>& buffer) {
  const auto it = entries_.find(buffer->header().task_id());
  if (it == entries_.end() || it->second.buffer != buffer) return false;
  entries_.erase(it);
  return true;
}

void UploadDesk::clear() {
  for (auto it = entries_.begin(); it != entries_.end();) it = drop(it);
}

void UploadDesk::forget(const std::string& task_id) {
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

std::uint64_t UploadDesk::offset(const std::string& task_id) const {
  const auto it = entries_.find(task_id);
  return it == entries_.end() || it->second.filling ? 0 : it->second.buffer->received();
}

}  // namespace muster::agg
