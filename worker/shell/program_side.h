#pragma once  // worker/shell/program_side.h: a worker beside a program of the user's own
              // (spec.training.program)
#include <memory>

#include "common/program/program_link.h"
#include "pod/program_pod.h"
#include "worker/engine/train_loop.h"
#include "worker/program/program_model.h"
#include "worker/shell/job.h"

namespace muster::worker {

// Waits for the program and its model, and holds what it tells against the spec. Errors: ProgramLink's.
[[nodiscard]] Status meet_program(program::ProgramLink* link, const Job& job,
                                  std::chrono::milliseconds patience);
// The whole life of a program that shares what it wants to (Part::kGroup); kExitInvalid for a field that only
// a training by Muster's own steps has a meaning for.
[[nodiscard]] Ending share_group(PodFrame& frame, const Job& job, program::ProgramLink& link,
                                 Collective& collective, std::chrono::milliseconds timeout);
// Its examples, by their number, with what the user should know of it.
[[nodiscard]] learning::Dataset data_of_program(const program::ProgramLink& link, const Job& job);
void ask_program(TrainLoop::Hooks& hooks, program::ProgramLink& link);  // which outlives them

// Where the ranks are, for the batches to come.
void place_program(program::ProgramLink& link, const Progress& progress, const Job& job);

}  // namespace muster::worker
