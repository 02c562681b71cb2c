#pragma once  // pod/program_pod.h: one of Muster's programs beside a program of the user's own
              // (spec.training.program)
#include <cstddef>
#include <functional>
#include <memory>

#include "common/program/program_link.h"
#include "pod/pod_life.h"

namespace muster {

// Of the process: listens where MUSTER_SOCKET says, and waits until the program has connected, or the pod is
// to stop: a pod whose program still starts is no member that others should wait for. `link` stays null where
// the variable is not set: then there is no program. `riders`: ProgramLink::Options::riders. Errors:
// kAborted: the pod is to stop; kDeadlineExceeded: half an hour has passed; listen_at's.
[[nodiscard]] Status await_program(std::unique_ptr<program::ProgramLink>& link, std::size_t riders,
                                   Stopper& stopper);
// kInvalidArgument: there is no link, so that the pod is none of this release's operator.
[[nodiscard]] Status require_program(const program::ProgramLink* link);

// PodProgram::linger: hands the program the ending, and goes on to serve the Agent until the pod's end: a
// sidecar that ends is started again. `accuracy`: for what the program tells after a good end; may be empty.
void linger_with_program(std::unique_ptr<program::ProgramLink>& link, const Ending& ending,
                         const PodProgram::Afterwards& after,
                         const std::function<void(double)>& accuracy = {});

}  // namespace muster
