#pragma once  // proto/agent/agent_server.h: the pod's side of muster.control.v1.Agent: one assignment in,
              // statuses out
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "proto/control.pb.h"

namespace muster {

// Serves Agent on ip:port from its own threads (none per watcher) until stopped. All methods are thread-safe.
class AgentServer {
 public:
  struct Options {
    std::string ip;
    int port = 0;         // kControlPort in a pod; 0 takes a free one
    std::string job_uid;  // an Assignment of another uid is answered PERMISSION_DENIED
    std::int64_t generation =
        0;  // of the pod, where known: other generations are FAILED_PRECONDITION; 0: any
    // Whether this program can play the assignment; its error goes to the caller of Configure, and the pod
    // goes on waiting. Runs on a server thread, at most once at a time. Keep it to parsing.
    std::function<Status(const control::v1::Assignment&)> accept;
    std::chrono::milliseconds interval{200};  // least time between two statuses of one phase, per watcher
  };
  // Error: kAlreadyExists: the port is in use or the ip is not this machine's; gRPC does not say which.
  [[nodiscard]] static Result<std::unique_ptr<AgentServer>> start(Options options);
  virtual ~AgentServer() = default;  // stops

  [[nodiscard]] virtual int port() const = 0;

  // The accepted assignment, at once if it is there already; every call returns the same one.
  // Errors: kDeadlineExceeded; kAborted after cancel() or stop().
  [[nodiscard]] virtual Result<control::v1::Assignment> wait_for_assignment(Deadline deadline) = 0;
  // Ends every wait_for_assignment, now and later, with kAborted.
  virtual void cancel() = 0;

  // Makes `status` what watchers see. Never blocks on a watcher: each gets the newest status, at most one
  // an interval, but a change of phase at once. Sets status.generation from the assignment when it is 0.
  virtual void publish(control::v1::AgentStatus status) = 0;

  // Lets watchers have the newest status, ends their streams and the server; returns within a second.
  // Idempotent.
  virtual void stop() = 0;
};

}  // namespace muster
