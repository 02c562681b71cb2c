// worker/engine/checkpoint_writer.cc: one std::async at a time
#include "worker/engine/checkpoint_writer.h"

#include <utility>

namespace muster::worker {

bool CheckpointWriter::is_free(std::chrono::milliseconds patience) const {
  return !writing_.valid() || writing_.wait_for(patience) == std::future_status::ready;
}

Status CheckpointWriter::begin(learning::TrainingState state) {
  if (has(state.step)) return {};
  MUSTER_TRY(await());
  newest_ = state.step;
  writing_ = std::async(std::launch::async, [this, state = std::move(state)] { return write_(state); });
  return {};
}

Status CheckpointWriter::await() {
  if (!writing_.valid()) return {};
  Status written = writing_.get();
  if (!written) {
    failure_ = written.error();
    newest_ = -1;  // what is there, nobody knows
  }
  return written;
}

}  // namespace muster::worker
