#pragma once  // worker/shell/worker.h: a worker pod's work: connect the ring, train, say how it went
#include <chrono>

namespace muster::worker {

// The whole program behind the flags; returns the exit code. Call it before any thread is made.
[[nodiscard]] int run_worker(std::chrono::milliseconds configure_timeout);

}  // namespace muster::worker
