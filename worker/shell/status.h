#pragma once  // worker/shell/status.h: the worker's progress in the words of the control channel
#include <string>
#include <vector>

#include "proto/control.pb.h"
#include "worker/engine/train_loop.h"
#include "worker/shell/group_side.h"

namespace muster::worker {

[[nodiscard]] control::v1::AgentStatus to_status(const Progress& progress, int rank);
// Of a program whose training loop is its own: a step is a collective that it asked for.
[[nodiscard]] control::v1::AgentStatus to_status(const GroupProgress& progress, int rank);
// For the log. `evaluated`: with what the test says.
[[nodiscard]] std::string line_of(const Progress& progress, bool evaluated);
// Of a training that is over; `whole`: the optimizer's state is all here, too.
void tell_digests(control::v1::AgentStatus& status, const learning::TrainingState& state, bool whole);
// For the user.
[[nodiscard]] std::string warning_of(const NotFinite& first);
// What rank 0 alone tells: the curve, and the ledger where there is one.
void add_lists(control::v1::AgentStatus& status, const Progress& progress,
               const std::vector<learning::HistoryPoint>& points);

}  // namespace muster::worker
