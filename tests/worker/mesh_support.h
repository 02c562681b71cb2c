#pragma once  // tests/worker/mesh_support.h: meshes for tests: in memory with partial transfers, and over
              // loopback TCP
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "worker/collective/mesh_collective.h"
#include "worker/transport/pending_connection.h"
#include "worker/transport/tcp_mesh.h"

namespace muster::worker::test {

// A mesh in this process. Each transfer moves a random number of bytes (seeded), sometimes none.
[[nodiscard]] std::vector<std::unique_ptr<Mesh>> memory_mesh(int size, std::uint64_t seed);

// A mesh over TCP on 127.0.0.1, free ports.
enum class Wires { kPlain, kMemory, kTls };  // how payload goes
inline constexpr std::array kWires{Wires::kPlain, Wires::kMemory, Wires::kTls};
[[nodiscard]] inline const char* name_of(Wires wires) {
  constexpr std::array kNames{"Plain", "Memory", "Tls"};
  return kNames[static_cast<std::size_t>(wires)];
}
[[nodiscard]] std::vector<std::unique_ptr<Mesh>> tcp_mesh(int size, Wires wires);

// Listening ends of a mesh and the options with which each rank connects.
struct TcpEnds {
  std::vector<std::unique_ptr<MeshPort>> ports;
  std::vector<std::string> peers;
  bool encrypt = false;
  bool share_memory = false;
  [[nodiscard]] MeshPort::Options options(int rank, std::int64_t membership = 1) const;
  [[nodiscard]] Link link(int dialer) const;  // of membership 1, by which it watches its successor
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

// Collectives over such meshes; Solo for size 1.
[[nodiscard]] std::vector<std::unique_ptr<Collective>> collectives(
    std::vector<std::unique_ptr<Mesh>> meshes, std::optional<Topology> topology = Topology::kRing);

// Payload bytes of a ring all-reduce of float32, by the formula (c[i]: the parts of the vector):
// 2S - c[(rank + 1) % n] - c[(rank + 2) % n].
[[nodiscard]] std::uint64_t ring_bytes(std::size_t elements, int ranks, int rank);

// Runs `body` once for each rank, each on a thread, and waits for all.
void on_all_ranks(int size, const std::function<void(int)>& body);

[[nodiscard]] Deadline soon();  // far enough for a loaded machine

}  // namespace muster::worker::test
