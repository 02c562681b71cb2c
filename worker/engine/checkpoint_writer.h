#pragma once  // worker/engine/checkpoint_writer.h: checkpoints are written beside the training
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <optional>

#include "common/base/result.h"
#include "learning/checkpoint.h"

namespace muster::worker {

// Writes on a thread of its own, one state at a time: the other ranks would take a rank that writes for
// longer than their time for lost. Outlives memberships. Not thread-safe; waits for what it writes when it is
// destroyed.
class CheckpointWriter {
 public:
  using Write = std::function<Status(const learning::TrainingState&)>;
  explicit CheckpointWriter(Write write) : write_(std::move(write)) {}

  // The one before is written, or will be within `patience`.
  [[nodiscard]] bool is_free(std::chrono::milliseconds patience) const;
  // Waits for the one before; its error. A step that was begun, or came from storage, is not written again.
  [[nodiscard]] Status begin(learning::TrainingState state);
  [[nodiscard]] Status await();
  // Of the last write that failed, once it was waited for.
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
  // The state of this step came from storage.
  void note_stored(std::int64_t step) { newest_ = step; }
  [[nodiscard]] bool has(std::int64_t step) const { return newest_ == step; }

 private:
  Write write_;
  std::int64_t newest_ = 0;
  std::optional<Error> failure_;
  std::future<Status> writing_;
};

}  // namespace muster::worker
