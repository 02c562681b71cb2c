// aggregator/shell/upload.cc: checks on chunks, which come from outside
#include "aggregator/shell/upload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "learning/sha256.h"

namespace muster::agg {

bool UploadBudget::take(std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  if (bytes > left_) return false;
  left_ -= bytes;
  return true;
}

void UploadBudget::give(std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  left_ += bytes;
}

Status UploadBuffer::append(const federation::v1::Chunk& chunk) {
  const std::uint64_t size = chunk.data().size();
  if (chunk.offset() != received_) {
    return invalid_argument(fmt::format("upload of task \"{}\": the chunk begins at byte {}, byte {} was due",
                                        header_.task_id(), chunk.offset(), received_));
  }
  if (size == 0 || size > kChunkBytesMax) {
    return invalid_argument(fmt::format("upload of task \"{}\": a chunk of {} bytes; 1 to {} are allowed",
                                        header_.task_id(), size, kChunkBytesMax));
  }
  if (size > header_.update_bytes() - received_) {
    return invalid_argument(fmt::format("upload of task \"{}\": more bytes than the {} of its header",
                                        header_.task_id(), header_.update_bytes()));
  }
  const auto room = std::as_writable_bytes(std::span(values_)).subspan(static_cast<std::size_t>(received_));
  std::memcpy(room.data(), chunk.data().data(), static_cast<std::size_t>(size));
  received_ += size;
  return {};
}

Status UploadBuffer::verify() const {
  if (!whole()) {
    return data_loss(fmt::format("upload of task \"{}\": it ended after {} of {} bytes", header_.task_id(),
                                 received_, header_.update_bytes()));
  }
  if (learning::sha256_hex(std::as_bytes(std::span(values_))) != header_.update_sha256()) {
    return data_loss(fmt::format(
        "upload of task \"{}\": its SHA-256 is not the one in its header; it was damaged on its way",
        header_.task_id()));
  }
  return {};
}

Result<std::shared_ptr<UploadBuffer>> UploadDesk::open(const federation::v1::UploadHeader& header) {
  if (header.offset() > 0) {
    const auto it = buffers_.find(header.task_id());
    const bool fits = it != buffers_.end() && idle(it->second) &&  // first: else its call writes the others
                      it->second->received() == header.offset() &&
                      it->second->header().update_sha256() == header.update_sha256();
    if (!fits) {
      return failed_precondition(fmt::format("upload of task \"{}\" cannot go on at byte {}; start over at 0",
                                             header.task_id(), header.offset()));
    }
    it->second->adopt(header);
    return it->second;
  }
  buffers_.erase(header.task_id());
  if (!make_room(header.update_bytes())) {
    return resource_exhausted(
        "the aggregator has no memory for another upload just now; try again in a moment");
  }
  auto buffer = std::make_shared<UploadBuffer>(header, budget_);
  buffers_[header.task_id()] = buffer;
  return buffer;
}

// A broken upload may go on, but one that is here goes before it: its client may never come back.
bool UploadDesk::make_room(std::uint64_t bytes) {
  while (!budget_->take(bytes)) {
    const auto broken =
        std::find_if(buffers_.begin(), buffers_.end(), [](const auto& entry) { return idle(entry.second); });
    if (broken == buffers_.end()) return false;
    buffers_.erase(broken);
  }
  return true;
}

std::uint64_t UploadDesk::offset(const std::string& task_id) const {
  const auto it = buffers_.find(task_id);
  return it == buffers_.end() || !idle(it->second) ? 0 : it->second->received();
}

}  // namespace muster::agg
