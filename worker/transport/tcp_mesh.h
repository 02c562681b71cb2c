#pragma once  // worker/transport/tcp_mesh.h: the mesh over TCP
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "worker/transport/connector.h"
#include "worker/transport/mesh.h"
#include "worker/transport/peer_watch.h"

namespace muster::worker {

// A mesh is made in two steps, so that a rank's port is open before its peers are told of it.
class MeshPort {
 public:
  struct Options {
    MeshIdentity identity;           // size >= 2
    MembershipKey key{};             // who holds it is a member
    bool encrypt = false;            // TLS 1.3 with that key; all ranks alike
    bool share_memory = true;        // payload between processes of one machine; not where it is encrypted
    std::vector<std::string> peers;  // "ip:port" or "[ip]:port" in order of rank
    std::chrono::milliseconds peer_timeout = PeerWatch::kTimeout;  // without a sign of life: it is lost
    // TCP's own, for data that is unacknowledged or not taken. Longer than any rank stays away from a call.
    std::chrono::milliseconds tcp_user_timeout{60'000};
    std::function<void(const std::string&)> log;  // a line now and then; may be empty
    std::function<void(Refusal)> refused;         // each connection that was refused; may be empty
  };
  // Listens on ip:port (port 0 takes a free one). Errors: kAlreadyExists, kInvalidArgument.
  [[nodiscard]] static Result<std::unique_ptr<MeshPort>> listen(const std::string& ip, int port);
  virtual ~MeshPort() = default;
  [[nodiscard]] virtual int port() const = 0;

  // Connects the ring in which each rank watches the next, in any order of start: all ranks are there then.
  // Payload gets connections of its own when it first needs them. Both ends of any connection prove by the
  // key that they are of this membership before it is taken; all else is refused and holds nobody up. Takes
  // the listening socket; call once. Errors: kDeadlineExceeded: names each rank that is missing and why;
  // kInvalidArgument: an address; kAborted.
  [[nodiscard]] virtual Result<std::unique_ptr<Mesh>> connect(Options options, Deadline deadline) = 0;
  virtual void abort() noexcept = 0;  // ends connect(), and the mesh that it made; from any thread
};

}  // namespace muster::worker
