#pragma once  // worker/transport/tcp_ring.h: the ring's links over TCP: rendezvous and byte streams
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "worker/transport/handshake.h"
#include "worker/transport/peer_watch.h"
#include "worker/transport/ring_links.h"

namespace muster::worker {

struct RingIdentity {
  std::string job_uid;
  std::int64_t membership = 1;  // ranks of different ones never talk
  int rank = 0;
  int size = 1;
};

// A ring is made in two steps, so that a rank's port is open before its peers are told of it.
class TcpRing {
 public:
  struct Options {
    RingIdentity identity;           // size >= 2
    MembershipKey key{};             // who holds it is a member
    bool encrypt = false;            // TLS 1.3 with that key; all ranks alike
    std::vector<std::string> peers;  // "ip:port" or "[ip]:port" in order of rank
    std::chrono::milliseconds peer_timeout = PeerWatch::kTimeout;  // without a sign of life: it is lost
    // TCP's own, for data that is unacknowledged or not taken. Longer than any rank stays away from a call.
    std::chrono::milliseconds tcp_user_timeout{60'000};
    std::function<void(const std::string&)> log;  // a line now and then; may be empty
    std::function<void(Refusal)> refused;         // each connection that was refused; may be empty
  };
  // Listens on ip:port (port 0 takes a free one). Errors: kAlreadyExists, kInvalidArgument.
  [[nodiscard]] static Result<std::unique_ptr<TcpRing>> listen(const std::string& ip, int port);
  virtual ~TcpRing() = default;
  [[nodiscard]] virtual int port() const = 0;

  // Connects to the successor and accepts the predecessor, in any order of start. Both ends prove by the key
  // that they are of this membership before either is taken; all else is refused and holds nobody up. Takes
  // the listening socket; call once.
  // Errors: kDeadlineExceeded: names each rank that is missing and why; kInvalidArgument: an address;
  // kAborted.
  [[nodiscard]] virtual Result<std::unique_ptr<RingLinks>> connect(Options options, Deadline deadline) = 0;
  virtual void abort() noexcept = 0;  // ends connect(), and the links that it made; from any thread
};

}  // namespace muster::worker
