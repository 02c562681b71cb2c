#pragma once  // worker/shell/program_side.h: a worker beside a program of the user's own
              // (spec.training.program)
#include <memory>

#include "pod/pod_life.h"
#include "worker/engine/train_loop.h"
#include "worker/program/program_link.h"
#include "worker/program/program_task.h"
#include "worker/shell/job.h"

namespace muster::worker {

// Of the process: listens where MUSTER_SOCKET says, and waits until the program has connected, or the pod is
// to stop: a rank whose program still starts is no member that others should wait for. `link` stays null
// where the variable is not set: then there is no program. Errors: kAborted: the pod is to stop; listen_at's.
[[nodiscard]] Status await_program(std::unique_ptr<program::ProgramLink>& link, Stopper& stopper);

// Waits for the program and its model, and holds what it tells against the spec. Errors: ProgramLink's.
[[nodiscard]] Status meet_program(program::ProgramLink* link, const Job& job,
                                  std::chrono::milliseconds patience);
// Its examples, by their number, with what the user should know of it.
[[nodiscard]] learning::Dataset data_of_program(const program::ProgramLink& link, const Job& job);
void ask_program(TrainLoop::Hooks& hooks, program::ProgramLink& link);  // which outlives them

// Where the ranks are, for the batches to come.
void place_program(program::ProgramLink& link, const Progress& progress, const Job& job);

// PodProgram::linger: hands the program the ending, and goes on to serve the Agent until the pod's end: a
// sidecar that ends is started again.
void linger_with_program(std::unique_ptr<program::ProgramLink>& link, const Ending& ending,
                         const PodProgram::Afterwards& after);

}  // namespace muster::worker
