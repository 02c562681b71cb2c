#pragma once  // worker/parallel/peer_stream.h: messages with a head and a body to and from one rank of a mesh
#include <cstdint>
#include <functional>
#include <span>

#include "worker/parallel/shard_message.h"
#include "worker/transport/mesh.h"

namespace muster::worker {

// At most one message each way at a time. Blocks never; the mesh's wait tells when to go on. One thread.
class PeerStream {
 public:
  PeerStream(Mesh& mesh, int peer) : mesh_(mesh), peer_(peer) {}

  // Where the body of a message goes: head.bytes bytes. An error ends what is done with this rank.
  using Room = std::function<Result<std::span<std::byte>>(const ShardMessage& head)>;

  // `body` stays as it is until sending() is over.
  void send(ShardMessage head, std::span<const std::byte> body = {});
  [[nodiscard]] bool sending() const { return sending_; }
  void receive(Room room);
  [[nodiscard]] bool receiving() const { return static_cast<bool>(room_); }
  // The message that was received last.
  [[nodiscard]] const ShardMessage& head() const { return in_; }
  [[nodiscard]] std::span<std::byte> body() const { return in_body_; }

  // Moves what can be moved at once. Errors: the mesh's; kInternal: it is no message; the room's.
  [[nodiscard]] Status move();
  [[nodiscard]] bool busy() const { return sending() || receiving(); }
  [[nodiscard]] Mesh::Interest interest() const {
    return {.peer = peer_, .send = sending(), .receive = receiving()};
  }
  [[nodiscard]] int peer() const { return peer_; }
  [[nodiscard]] std::uint64_t payload_sent() const { return payload_sent_; }
  [[nodiscard]] std::uint64_t replication_sent() const { return replication_sent_; }

 private:
  [[nodiscard]] Status move_out();
  [[nodiscard]] Status move_in();

  Mesh& mesh_;
  int peer_;
  bool sending_ = false;
  ShardMessage out_;
  std::span<const std::byte> out_body_;
  std::size_t out_done_ = 0;  // bytes of head and body
  Room room_;
  ShardMessage in_;
  std::span<std::byte> in_body_;
  std::size_t in_done_ = 0;
  std::uint64_t payload_sent_ = 0;      // gradients and parameters
  std::uint64_t replication_sent_ = 0;  // between servers
};

// Blocks until none of `streams` is busy. Errors: theirs; wait's.
[[nodiscard]] Status finish(Mesh& mesh, std::span<PeerStream> streams, Deadline deadline);

}  // namespace muster::worker
