// worker/parallel/peer_stream.cc: partial transfers of heads and bodies
#include "worker/parallel/peer_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "common/base/check.h"

namespace muster::worker {
namespace {

constexpr std::size_t kHead = sizeof(ShardMessage);

// What the formulas speak of: not what begins and ends a membership or a segment.
bool is_payload(ShardMessage::Kind kind) {
  return kind == ShardMessage::Kind::kPush || kind == ShardMessage::Kind::kParameters;
}

bool is_replication(ShardMessage::Kind kind) {
  using Kind = ShardMessage::Kind;
  return kind == Kind::kPart || kind == Kind::kUpdate || kind == Kind::kCopy;
}

}  // namespace

void PeerStream::send(ShardMessage head, std::span<const std::byte> body) {
  MUSTER_CHECK(!sending_);
  head.bytes = body.size();
  out_ = head;
  out_body_ = body;
  out_done_ = 0;
  sending_ = true;
}

void PeerStream::receive(Room room) {
  MUSTER_CHECK(!room_ && room);
  room_ = std::move(room);
  in_done_ = 0;
  in_body_ = {};
}

Status PeerStream::move() {
  if (sending_) MUSTER_TRY(move_out());
  if (room_) MUSTER_TRY(move_in());
  return {};
}

Status PeerStream::move_out() {
  const std::size_t all = kHead + out_body_.size();
  while (out_done_ < all) {
    const std::size_t of_head = std::min(out_done_, kHead);
    const auto head = std::as_bytes(std::span(&out_, 1)).subspan(of_head);
    const auto body = out_body_.subspan(out_done_ - of_head);
    MUSTER_ASSIGN(const std::size_t bytes, mesh_.send_some(peer_, head, body));
    if (bytes == 0) return {};
    out_done_ += bytes;
  }
  if (is_payload(out_.kind)) payload_sent_ += out_body_.size();
  if (is_replication(out_.kind)) replication_sent_ += out_body_.size();
  sending_ = false;
  return {};
}

Status PeerStream::move_in() {
  while (in_done_ < kHead) {
    const auto head = std::as_writable_bytes(std::span(&in_, 1)).subspan(in_done_);
    MUSTER_ASSIGN(const std::size_t bytes, mesh_.receive_some(peer_, head, {}));
    if (bytes == 0) return {};
    in_done_ += bytes;
    if (in_done_ < kHead) continue;
    if (in_.magic != ShardMessage::kMagic)
      return internal_error(fmt::format("rank {} sends what is no message of a parameter server", peer_));
    MUSTER_ASSIGN(in_body_, room_(in_));
    MUSTER_CHECK(in_body_.size() == in_.bytes);
  }
  while (in_done_ < kHead + in_body_.size()) {
    MUSTER_ASSIGN(const std::size_t bytes, mesh_.receive_some(peer_, {}, in_body_.subspan(in_done_ - kHead)));
    if (bytes == 0) return {};
    in_done_ += bytes;
  }
  room_ = nullptr;
  return {};
}

Status finish(Mesh& mesh, std::span<PeerStream> streams, Deadline deadline) {
  std::vector<Mesh::Interest> interests;
  while (true) {
    interests.clear();
    for (PeerStream& stream : streams) {
      MUSTER_TRY(stream.move());
      if (stream.busy()) interests.push_back(stream.interest());
    }
    if (interests.empty()) return {};
    MUSTER_TRY(mesh.wait(interests, deadline));
  }
}

}  // namespace muster::worker
