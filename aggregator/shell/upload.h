#pragma once  // aggregator/shell/upload.h: updates on their way in: buffers, their total memory, broken ones
              // kept
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/result.h"
#include "proto/federation.pb.h"

namespace muster::agg {

// The room of all updates on their way in. Thread-safe.
class UploadBudget {
 public:
  explicit UploadBudget(std::uint64_t bytes_max) : left_(bytes_max) {}
  [[nodiscard]] bool take(std::uint64_t bytes);
  void give(std::uint64_t bytes);

 private:
  std::mutex mutex_;
  std::uint64_t left_;
};

// One update: chunks in order, from one call at a time.
class UploadBuffer {
 public:
  UploadBuffer(federation::v1::UploadHeader header, std::shared_ptr<UploadBudget> budget)
      : header_(std::move(header)),
        budget_(std::move(budget)),
        values_(header_.update_bytes() / sizeof(float)) {}
  ~UploadBuffer() { budget_->give(header_.update_bytes()); }
  UploadBuffer(const UploadBuffer&) = delete;
  UploadBuffer& operator=(const UploadBuffer&) = delete;

  // Errors: kInvalidArgument: not the next offset, empty, past the end, or above kChunkBytesMax.
  [[nodiscard]] Status append(const federation::v1::Chunk& chunk);
  [[nodiscard]] bool whole() const { return received_ == header_.update_bytes(); }
  // Errors: kDataLoss: bytes are missing, or the checksum is another.
  [[nodiscard]] Status verify() const;

  [[nodiscard]] const federation::v1::UploadHeader& header() const { return header_; }
  [[nodiscard]] std::uint64_t received() const { return received_; }
  [[nodiscard]] const std::vector<float>& values() const { return values_; }
  void adopt(const federation::v1::UploadHeader& header) { header_ = header; }

 private:
  federation::v1::UploadHeader header_;
  std::shared_ptr<UploadBudget> budget_;
  std::vector<float> values_;
  std::uint64_t received_ = 0;
};

inline constexpr std::uint64_t kChunkBytes = std::uint64_t{512} << 10;   // what we send
inline constexpr std::uint64_t kChunkBytesMax = std::uint64_t{1} << 20;  // what the protocol allows

// Keeps one buffer a task, so that an upload that broke may go on while its room is not needed. Not
// thread-safe; who gives a buffer back does so under the desk's lock as well.
class UploadDesk {
 public:
  explicit UploadDesk(std::uint64_t bytes_max) : budget_(std::make_shared<UploadBudget>(bytes_max)) {}

  // The buffer to fill for `header`; offset 0 starts over. Errors: kResourceExhausted; kFailedPrecondition.
  [[nodiscard]] Result<std::shared_ptr<UploadBuffer>> open(const federation::v1::UploadHeader& header);
  [[nodiscard]] std::uint64_t offset(const std::string& task_id) const;
  void forget(const std::string& task_id) { buffers_.erase(task_id); }
  void clear() { buffers_.clear(); }

 private:
  // No call fills it: then it is the desk's alone to read.
  [[nodiscard]] static bool idle(const std::shared_ptr<UploadBuffer>& buffer) {
    return buffer.use_count() == 1;
  }
  [[nodiscard]] bool make_room(std::uint64_t bytes);

  std::shared_ptr<UploadBudget> budget_;
  std::unordered_map<std::string, std::shared_ptr<UploadBuffer>> buffers_;
};

}  // namespace muster::agg
