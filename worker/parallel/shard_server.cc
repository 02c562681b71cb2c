// worker/parallel/shard_server.cc: messages in, answers out, each worker at its own pace
#include "worker/parallel/shard_server.h"

#include <algorithm>

namespace muster::worker {

ShardServer::ShardServer(Mesh& mesh, int workers, Shard& shard, Options options)
    : mesh_(mesh), shard_(shard), options_(std::move(options)) {
  peers_.reserve(static_cast<std::size_t>(workers));
  for (int worker = 0; worker < workers; ++worker)
    peers_.push_back({.stream = PeerStream(mesh, worker), .body = {}, .state = {}});
  for (int worker = 0; worker < workers; ++worker) listen(worker);
}

void ShardServer::listen(int worker) {
  Peer& peer = peers_[static_cast<std::size_t>(worker)];
  peer.state = Peer::State::kListening;
  peer.stream.receive([this, worker](const ShardMessage& head) -> Result<std::span<std::byte>> {
    MUSTER_TRY(shard_.check(worker, head));
    auto& body = peers_[static_cast<std::size_t>(worker)].body;
    body.resize(head.bytes);
    return std::span(body);
  });
}

Status ShardServer::move(int worker) {
  Peer& peer = peers_[static_cast<std::size_t>(worker)];
  MUSTER_TRY(peer.stream.move());
  if (peer.state == Peer::State::kAnswered && !peer.stream.sending()) listen(worker);
  if (peer.state == Peer::State::kListening && !peer.stream.receiving()) {
    heard_ = std::chrono::steady_clock::now();
    const ShardMessage head = peer.stream.head();
    MUSTER_TRY(shard_.take(worker, head, peer.body));
    using Kind = ShardMessage::Kind;
    if (head.kind == Kind::kEnd) {
      peer.state = Peer::State::kOver;
    } else if (head.kind == Kind::kIdle || head.kind == Kind::kSegment) {
      listen(worker);  // what is behind it comes with the next move
    } else {
      peer.state = Peer::State::kHeld;
    }
  }
  return {};
}

Status ShardServer::run() {
  heard_ = std::chrono::steady_clock::now();
  const auto serve = [this]() -> Status {
    while (true) {
      for (std::size_t worker = 0; worker < peers_.size(); ++worker)
        MUSTER_TRY(move(static_cast<int>(worker)));
      bool answered = false;
      while (const auto reply = shard_.next_reply()) {
        Peer& peer = peers_[static_cast<std::size_t>(reply->worker)];
        peer.stream.send(reply->head, reply->body);
        peer.state = Peer::State::kAnswered;
        answered = true;
      }
      if (answered) {
        options_.updated(*this);
        continue;
      }
      if (shard_.ended()) return {};
      MUSTER_TRY(wait());
    }
  };
  Status done = serve();
  if (!done) mesh_.leave(done);
  return done;
}

Status ShardServer::wait() {
  interests_.clear();
  for (Peer& peer : peers_)
    if (peer.stream.busy()) interests_.push_back(peer.stream.interest());
  if (shard_.awaited().empty()) {
    awaited_ = {};
  } else if (awaited_ == Instant{}) {
    awaited_ = std::chrono::steady_clock::now();
  }
  if (interests_.empty()) return deadline_exceeded("all workers wait for an answer that none can get");
  const Instant until = awaited_ == Instant{} ? heard_ + options_.start_timeout : awaited_ + options_.timeout;
  return mesh_.wait(interests_, until);
}

std::uint64_t ShardServer::payload_bytes_sent() const {
  std::uint64_t sent = 0;
  for (const Peer& peer : peers_) sent += peer.stream.payload_sent();
  return sent;
}

}  // namespace muster::worker
