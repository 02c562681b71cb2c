#pragma once  // pod/agent_server.h: the pod's side of muster.control.v1.Agent: assignments in, statuses out
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "pod/credentials.h"
#include "proto/control.pb.h"

namespace muster {

// Serves Agent on ip:port from its own threads (none per watcher) until stopped. All methods are thread-safe.
class AgentServer {
 public:
  struct Options {
    std::string ip;
    int port = 0;             // kControlPort in a pod; 0 takes a free one
    Credentials credentials;  // the pod's; whoever cannot prove to be the operator is turned away
    std::string job_uid;      // an Assignment of another uid is answered PERMISSION_DENIED
    std::string pod_uid{};    // as is one, or a Watch, that means another pod
    // Whether this program can play the assignment; its error goes to the caller of Configure, and the pod
    // goes on waiting. Runs on a server thread, at most once at a time. Keep it to parsing.
    std::function<Status(const control::v1::Assignment&)> accept;
    // Called on a server thread when an assignment, of this membership, has taken the place of one that was
    // taken before; may be empty.
    std::function<void(std::int64_t membership)> superseded{};
    std::function<void(std::string_view reason)> refused{};  // GuardedPort::Options'
    std::chrono::milliseconds stranger_patience{5000};       // likewise
    std::chrono::milliseconds interval{200};  // least time between two statuses of one phase, per watcher
  };
  // Errors: those of GuardedPort::open.
  [[nodiscard]] static Result<std::unique_ptr<AgentServer>> start(Options options);
  virtual ~AgentServer() = default;  // stops

  [[nodiscard]] virtual int port() const = 0;

  // The newest accepted assignment of a membership above `after`, at once if it is there already.
  // Errors: kDeadlineExceeded; kAborted after cancel() or stop().
  [[nodiscard]] virtual Result<control::v1::Assignment> wait_for_assignment(std::int64_t after,
                                                                            Deadline deadline) = 0;
  // The membership of the newest accepted assignment; 0: none has come.
  [[nodiscard]] virtual std::int64_t membership() = 0;
  // Ends every wait_for_assignment, now and later, with kAborted.
  virtual void cancel() = 0;

  // Makes `status` what watchers see. Never blocks on a watcher: each gets the newest status, at most one
  // an interval, but a change of phase at once. Sets status.pod_uid, and
  // status.membership from the assignment when it is 0.
  virtual void publish(control::v1::AgentStatus status) = 0;

  // Lets watchers have the newest status, ends their streams and the server; returns within a second.
  // Idempotent.
  virtual void stop() = 0;
};

}  // namespace muster
