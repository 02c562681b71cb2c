#pragma once  // tests/worker/ring_support.h: rings for tests: in memory with partial transfers, and over
              // loopback TCP
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "worker/collective/collective.h"
#include "worker/transport/pending_connection.h"
#include "worker/transport/tcp_ring.h"

namespace muster::worker::test {

// Links of one ring in this process. Each transfer moves a random number of bytes (seeded), sometimes none.
[[nodiscard]] std::vector<std::unique_ptr<RingLinks>> memory_ring(int size, std::uint64_t seed);

// A ring over TCP on 127.0.0.1, free ports; `encrypt`: over TLS.
[[nodiscard]] std::vector<std::unique_ptr<RingLinks>> tcp_ring(int size, bool encrypt);

// Listening ends of a ring and the options with which each rank connects.
struct TcpEnds {
  std::vector<std::unique_ptr<TcpRing>> rings;
  std::vector<std::string> peers;
  bool encrypt = false;
  [[nodiscard]] TcpRing::Options options(int rank, std::int64_t membership = 1) const;
  [[nodiscard]] Link link(int dialer) const;  // of membership 1, to its successor
};
[[nodiscard]] TcpEnds listen_ends(int size, bool encrypt);
[[nodiscard]] MembershipKey test_key(int fill = 7);

// A connection to a port of 127.0.0.1, as anything on the network may make one.
[[nodiscard]] Fd dial(int port, const std::string& from = "127.0.0.1");
// One that calls as a rank does, by these words.
struct Words {
  Link link;
  MembershipKey key = test_key();
  bool encrypt = false;
};
[[nodiscard]] PendingConnection call(int port, const Words& words);
// Until it is no longer running.
PendingConnection::State finish(PendingConnection& connection);

// Collectives over such links; Solo for size 1.
[[nodiscard]] std::vector<std::unique_ptr<Collective>> collectives(
    std::vector<std::unique_ptr<RingLinks>> links);

// Runs `body` once for each rank, each on a thread, and waits for all.
void on_all_ranks(int size, const std::function<void(int)>& body);

[[nodiscard]] Deadline soon();  // far enough for a loaded machine

}  // namespace muster::worker::test
