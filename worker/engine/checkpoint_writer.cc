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

Status CheckpointWriter::await() { return writing_.valid() ? writing_.get() : Status(); }

}  // namespace muster::worker
