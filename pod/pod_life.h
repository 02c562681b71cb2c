#pragma once  // pod/pod_life.h: what worker, aggregator and device have in common: from the pod's
              // start to its last words
#include <chrono>
#include <functional>
#include <memory>
#include <string_view>

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
  std::shared_ptr<prometheus::Registry> registry;                // behind /metrics
  std::function<Status(const control::v1::Assignment&)> accept;  // AgentServer::Options'
  std::function<Status(const PodEnvironment&)> prepare;          // before the Agent answers; may be empty
  // The program's work, once its assignment has come. A failure after SIGTERM counts as kExitStopped.
  std::function<Ending(PodFrame&, const control::v1::Assignment&)> work;
};

// Serves Agent, /metrics, /healthz and /readyz, waits for the assignment, works, publishes and writes the
// last words. Returns the exit code. Call it from main, before any thread.
[[nodiscard]] int run_pod(const PodProgram& program);

}  // namespace muster
