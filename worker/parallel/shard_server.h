#pragma once  // worker/parallel/shard_server.h: a parameter server of one membership: its shard behind the
              // mesh
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "worker/parallel/peer_stream.h"
#include "worker/parallel/shard.h"

namespace muster::worker {

class ShardServer {
 public:
  struct Options {
    std::chrono::milliseconds timeout{60'000};         // others wait for a worker for so long
    std::chrono::milliseconds start_timeout{600'000};  // nobody says anything for so long
    std::function<void(const ShardServer&)> updated = [](const auto&) {};  // an answer is about to go out
  };
  // Ranks 0 .. workers - 1 of `mesh` are served, those behind them are the servers. All outlive it.
  ShardServer(Mesh& mesh, int workers, Shard& shard, Options options);

  // Until no worker has anything more to ask. Errors: the mesh's; kDeadlineExceeded names a worker or a
  // mirror that did not come; kInternal: one that said what it may not, which the others are told.
  [[nodiscard]] Status run();
  [[nodiscard]] std::uint64_t payload_bytes_sent() const;
  [[nodiscard]] std::uint64_t replication_bytes_sent() const;  // to the other servers, beside it

 private:
  struct Peer {
    PeerStream stream;
    std::vector<std::byte> body;
    enum class State { kListening, kHeld, kAnswered, kOver } state = State::kListening;
  };

  struct Link {  // to another server
    PeerStream stream;
    int shard = 0;
    std::vector<std::byte> body{};
    bool listening = false;
    bool over = false;                        // it has left
    std::optional<ShardMessage> under_way{};  // out
  };

  void listen(int worker);
  void listen(Link& link);
  void note_sent(Link& link);
  [[nodiscard]] Status move(int worker);
  [[nodiscard]] Status move(Link& link);
  [[nodiscard]] Status wait();
  void say_farewell();

  Mesh& mesh_;
  Shard& shard_;
  Options options_;
  std::vector<Peer> peers_;
  std::vector<Link> links_;  // first the one to the mirror
  std::vector<Mesh::Interest> interests_;
  Instant heard_{};    // when a message came last
  Instant awaited_{};  // since when others wait for a worker; zero: nobody does
  Instant uneven_{};   // since when the mirror is waited for; zero: it is not
};

}  // namespace muster::worker
