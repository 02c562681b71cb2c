#pragma once  // worker/shell/status.h: the worker's progress in the words of the control channel
#include <string>

#include "proto/control.pb.h"
#include "worker/engine/train_loop.h"

namespace muster::worker {

[[nodiscard]] control::v1::AgentStatus to_status(const Progress& progress, int rank);
void add_history(control::v1::AgentStatus& status, const std::vector<learning::HistoryPoint>& points);

// The last words of a worker that succeeded: the proto JSON form without the history.
[[nodiscard]] std::string last_words(control::v1::AgentStatus status);

}  // namespace muster::worker
