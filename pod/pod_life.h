#pragma once  // pod/pod_life.h: what worker, aggregator and device have in common: from the pod's
              // start to its last words
#include <any>
#include <chrono>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "pod/agent_server.h"
#include "pod/credentials.h"
#include "pod/endings.h"
#include "pod/environment.h"
#include "pod/stopper.h"

namespace prometheus {
class Registry;
}

namespace muster {

struct PodFrame {  // what the work has around it
  const PodEnvironment& pod;
  const Credentials& credentials;  // the pod's
  AgentServer& agent;
  Stopper& stopper;
  control::v1::AgentStatus& status;  // the work writes its progress here

  void publish() { agent.publish(status); }
  void publish(control::v1::Phase phase, std::string_view message);
};

struct PodProgram {
  std::string_view name;  // "worker": of the log
  std::chrono::milliseconds configure_timeout{600'000};
  std::shared_ptr<prometheus::Registry> registry;  // behind /metrics
  // Before the Agent answers; may be empty. Who waits in it asks the stopper.
  std::function<Status(const PodEnvironment&, Stopper&)> prepare;

  // What is left when the work has ended, and its ending is told: the Agent answers on.
  struct Afterwards {
    control::v1::AgentStatus& status;
    std::function<void()> publish;  // the status, changed
    Stopper& stopper;
  };
  std::function<void(const Ending&, const Afterwards&)> linger = {};  // before the process ends; may be empty
};

// Reads an assignment, once: AgentServer::Options::accept.
template <typename Job>
using ReadJob = std::function<Result<Job>(const control::v1::Assignment&)>;
// The program's work, once its assignment has come and was read. A failure after SIGTERM counts as
// kExitStopped.
template <typename Job>
using Work = std::function<Ending(PodFrame&, const control::v1::Assignment&, Job)>;

// Serves Agent, /metrics, /healthz and /readyz, waits for the assignment, works, publishes and writes the
// last words. Returns the exit code. Call it from main, before any thread.
[[nodiscard]] int run_pod(const PodProgram& program, ReadJob<std::any> read, Work<std::any> work);
template <typename Job>
[[nodiscard]] int run_pod(const PodProgram& program, ReadJob<Job> read, Work<Job> work) {
  return run_pod(
      program,
      [read = std::move(read)](const control::v1::Assignment& assignment) -> Result<std::any> {
        MUSTER_ASSIGN(Job job, read(assignment));
        return std::any(std::move(job));
      },
      [work = std::move(work)](PodFrame& frame, const control::v1::Assignment& assignment, std::any job) {
        return work(frame, assignment, std::any_cast<Job>(std::move(job)));
      });
}

}  // namespace muster
