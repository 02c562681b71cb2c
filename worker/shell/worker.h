#pragma once  // worker/shell/worker.h: the life of a worker pod: wait for an assignment, connect, train, say
              // how it went
#include <chrono>

#include "common/platform/pod.h"
#include "common/platform/signals.h"
#include "worker/shell/ending.h"

namespace muster::worker {

struct WorkerOptions {
  PodEnvironment pod;
  std::int64_t generation = 0;  // of the pod; 0: not known
  std::chrono::milliseconds configure_timeout{600'000};
};

// Runs to the end; logs and writes the pod's last words. `signals` was made before any thread.
[[nodiscard]] Ending run_worker(const WorkerOptions& options, SignalWaiter& signals);

}  // namespace muster::worker
