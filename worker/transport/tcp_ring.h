#pragma once  // worker/transport/tcp_ring.h: the ring's links over TCP: rendezvous and byte streams
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "worker/transport/handshake.h"
#include "worker/transport/ring_links.h"

namespace muster::worker {

// A ring is made in two steps, so that a rank's port is open before its peers are told of it.
class TcpRing {
 public:
  struct Options {
    RingIdentity identity;           // size >= 2
    std::vector<std::string> peers;  // "ip:port" or "[ip]:port" in order of rank
    // Data that is unacknowledged, or not taken, for so long: the peer's machine is gone. Longer than any
    // rank stays away from a call.
    std::chrono::milliseconds peer_timeout{60'000};
    std::function<void(const std::string&)> log;  // one line an event; may be empty
  };
  // Listens on ip:port (port 0 takes a free one). Errors: kAlreadyExists, kInvalidArgument.
  [[nodiscard]] static Result<std::unique_ptr<TcpRing>> listen(const std::string& ip, int port);
  virtual ~TcpRing() = default;
  [[nodiscard]] virtual int port() const = 0;

  // Connects to the successor and accepts the predecessor, in any order of start; strangers are refused and
  // logged, and hold nobody up. Takes the listening socket; call once.
  // Errors: kDeadlineExceeded: names each rank that is missing and why; kInvalidArgument: an address;
  // kAborted.
  [[nodiscard]] virtual Result<std::unique_ptr<RingLinks>> connect(Options options, Deadline deadline) = 0;
  virtual void abort() noexcept = 0;  // ends connect(), and the links that it made; from any thread
};

}  // namespace muster::worker
