#pragma once  // aggregator/shell/upload.h: updates on their way in: buffers, their total memory, broken ones
              // kept
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "learning/sha256.h"
#include "proto/federation.pb.h"

namespace muster::agg {

inline constexpr std::uint64_t kChunkBytesMax = std::uint64_t{1} << 20;  // what the protocol allows
inline constexpr std::size_t kRequestBytesMax = 1024;       // of a request, and of an update's header,
inline constexpr std::size_t kFailureBytesMax = 16 * 1024;  // but for the reason that a client gives
// For all updates on their way in and not folded yet; two of them fit in any case.
inline constexpr std::uint64_t kUploadMemory = std::uint64_t{512} << 20;
inline constexpr std::uint64_t kUploadsMin = 2;
// Of an upload's stream, before the server reads of how long a message it is the beginning.
inline constexpr std::uint64_t kStreamWindowBytes = std::uint64_t{16} << 10;

// What one upload takes: its values and header, and what is on the way to them: a message that gRPC puts
// together, the message that we read, and the beginning of the next.
[[nodiscard]] constexpr std::uint64_t room_of_upload(std::uint64_t update_bytes) {
  return update_bytes + 2 * std::min(update_bytes, kChunkBytesMax) + kStreamWindowBytes + kRequestBytesMax;
}

// The room of all updates on their way in. Thread-safe.
class UploadBudget {
 public:
  explicit UploadBudget(std::uint64_t bytes_max) : left_(bytes_max) {}
  [[nodiscard]] bool take(std::uint64_t bytes);
  void give(std::uint64_t bytes) { left_ += bytes; }
  [[nodiscard]] std::uint64_t left() const { return left_; }

 private:
  std::atomic<std::uint64_t> left_;
};

// One update: chunks in order, from one call at a time.
class UploadBuffer {
 public:
  // The memory is mapped, but not written to: that comes with the chunks.
  UploadBuffer(federation::v1::UploadHeader header, std::shared_ptr<UploadBudget> budget);
  ~UploadBuffer() {
    values_.reset();  // first: the room that is given back is free
    give_budget_back();
  }
  UploadBuffer(const UploadBuffer&) = delete;
  UploadBuffer& operator=(const UploadBuffer&) = delete;

  // Copies and hashes. Errors: kInvalidArgument: not the next offset, empty, past the end, or above
  // kChunkBytesMax.
  [[nodiscard]] Status append(const federation::v1::Chunk& chunk);
  [[nodiscard]] bool whole() const { return received() == header_.update_bytes(); }
  // Errors: kDataLoss: the checksum is another. REQUIRES: whole().
  [[nodiscard]] Status verify() const;

  [[nodiscard]] const federation::v1::UploadHeader& header() const { return header_; }
  [[nodiscard]] std::uint64_t received() const { return received_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::span<const float> values() const { return {values_.get(), count_}; }
  void adopt(const federation::v1::UploadHeader& header) { header_ = header; }
  // Once, when it is dropped: its room is free though its last holder may take a moment to let go.
  void give_budget_back();

 private:
  federation::v1::UploadHeader header_;
  std::shared_ptr<UploadBudget> budget_;
  std::atomic<bool> budgeted_ = true;
  std::size_t count_;
  std::unique_ptr<float[]> values_;  // NOLINT(*-avoid-c-arrays): a vector would write zeros first
  std::atomic<std::uint64_t> received_ = 0;
  learning::Sha256 sha256_;
};

// One buffer a task; an upload that broke keeps its own while the room is not needed. Not thread-safe. What
// it drops waits in dropped(), so that no memory is given back under the lock of its owner.
class UploadDesk {
 public:
  explicit UploadDesk(std::uint64_t bytes_max)
      : bytes_max_(bytes_max), budget_(std::make_shared<UploadBudget>(bytes_max)) {}

  // The buffer to fill for `header`; offset 0 starts over. A broken upload makes room. One that was paused
  // for its pace goes on only where that takes no room from those that were refused and ask again.
  // Errors: kResourceExhausted; kFailedPrecondition: there is nothing to go on with at this offset.
  [[nodiscard]] Result<std::shared_ptr<UploadBuffer>> open(const federation::v1::UploadHeader& header,
                                                           Instant now);
  // Pauses the uploads that, at their pace so far, will not be whole by the deadline of their task, or while
  // others wait, by the end of their turn; each has had kPaceTime to show it. Their tasks.
  using DeadlineOf = std::function<Instant(const std::string& task_id)>;
  [[nodiscard]] std::vector<std::string> pause_slow(Instant now, const DeadlineOf& deadline_of);
  // Its call broke: another may go on with it.
  void pause(const std::string& task_id, const std::shared_ptr<UploadBuffer>& buffer);
  // It is whole, and its holder's now. False: it is not the one that is kept for its task.
  [[nodiscard]] bool take(const std::shared_ptr<UploadBuffer>& buffer);
  void clear();                             // the round is over
  void forget(const std::string& task_id);  // the task is
  // Of a broken one; 0 where it is of an update with another checksum, as after a training that was made
  // again. Empty: of any.
  [[nodiscard]] std::uint64_t offset(const std::string& task_id, const std::string& update_sha256 = "") const;
  [[nodiscard]] std::vector<std::shared_ptr<UploadBuffer>> dropped() { return std::exchange(dropped_, {}); }
  [[nodiscard]] std::uint64_t room() const { return budget_->left(); }

 private:
  struct Entry {
    std::shared_ptr<UploadBuffer> buffer;
    bool filling = true;
    Instant since{};         // this call began
    std::uint64_t from = 0;  // at this offset
    Instant began{};         // the first call: a client that breaks its calls off begins no new turn by that
  };
  using Entries = std::unordered_map<std::string, Entry>;
  Entries::iterator drop(Entries::iterator entry);
  [[nodiscard]] bool make_room(std::uint64_t bytes);
  [[nodiscard]] Error refuse_for_now(const std::string& task_id, Instant now);
  [[nodiscard]] bool would_take_from_others(const std::string& task_id, std::uint64_t bytes, Instant now);
  void forget_those_gone(Instant now);
  void pause_for_pace(const std::string& task_id);
  void pause_those_whose_turn_is_over(Instant now, const DeadlineOf& deadline_of,
                                      std::vector<std::string>& tasks);

  const std::uint64_t bytes_max_;
  std::shared_ptr<UploadBudget> budget_;
  Entries entries_;
  std::unordered_map<std::string, Instant> waiting_;  // refused for room at this time, and not slow_
  std::unordered_set<std::string> slow_;              // paused for their pace
  Instant next_turns_{};                              // none is over before
  Instant next_forgetting_{};                         // of those that wait no more
  std::vector<std::shared_ptr<UploadBuffer>> dropped_;
};

}  // namespace muster::agg
