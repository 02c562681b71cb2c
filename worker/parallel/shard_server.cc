// worker/parallel/shard_server.cc: messages in, answers out, each worker at its own pace
#include "worker/parallel/shard_server.h"

#include <fmt/format.h>

#include <algorithm>

namespace muster::worker {

ShardServer::ShardServer(Mesh& mesh, int workers, Shard& shard, Options options)
    : mesh_(mesh), shard_(shard), options_(std::move(options)) {
  const int shards = mesh.size() - workers;
  if (shards > 1) {
    const int mine = mesh.rank() - workers;
    const int next = (mine + 1) % shards;
    const int previous = (mine + shards - 1) % shards;
    links_.push_back({.stream = PeerStream(mesh, workers + next), .shard = next});
    if (previous != next)
      links_.push_back({.stream = PeerStream(mesh, workers + previous), .shard = previous});
  }
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

void ShardServer::listen(Link& link) {
  link.listening = true;
  link.stream.receive([this, &link](const ShardMessage& head) -> Result<std::span<std::byte>> {
    note_sent(link);  // this may be the answer to what went out just now
    if (head.kind == ShardMessage::Kind::kLeft && head.bytes == 0) return std::span<std::byte>();
    MUSTER_TRY(shard_.mirrors()->check(link.shard, head));
    link.body.resize(head.bytes);
    return std::span(link.body);
  });
}

void ShardServer::note_sent(Link& link) {
  if (!link.under_way || link.stream.sending()) return;
  shard_.mirrors()->sent(*link.under_way);
  link.under_way.reset();
}

// Before rank 0 has begun, nobody knows of what length a part is: what comes waits in the stream.
Status ShardServer::move(Link& link) {
  Mirrors* const mirrors = shard_.mirrors();
  if (mirrors == nullptr || link.over) return {};
  while (true) {
    MUSTER_TRY(link.stream.move());
    note_sent(link);
    if (link.listening && !link.stream.receiving()) {
      heard_ = std::chrono::steady_clock::now();
      link.listening = false;
      link.over = link.stream.head().kind == ShardMessage::Kind::kLeft;
      if (link.over) return {};
      MUSTER_TRY(mirrors->take(link.shard, link.stream.head(), link.body));
    }
    const auto out = link.stream.sending() ? std::nullopt : mirrors->next_to(link.shard);
    if (link.listening && !out) return {};
    if (!link.listening) listen(link);
    if (!out) continue;
    link.stream.send(out->head, out->body);
    link.under_way = out->head;
  }
}

Status ShardServer::run() {
  heard_ = std::chrono::steady_clock::now();
  const auto serve = [this]() -> Status {
    while (true) {
      for (std::size_t worker = 0; worker < peers_.size(); ++worker)
        MUSTER_TRY(move(static_cast<int>(worker)));
      for (Link& link : links_) MUSTER_TRY(move(link));
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
      if (shard_.ended()) {
        say_farewell();
        return {};
      }
      MUSTER_TRY(wait());
    }
  };
  Status done = serve();
  if (!done) mesh_.leave(done);
  return done;
}

// So that those beside this one can tell its end from its loss. Whoever has left already needs no word, and
// whoever cannot be told will find out.
void ShardServer::say_farewell() {
  const Deadline until = deadline_after(options_.timeout);
  for (Link& link : links_) {
    bool said = false;
    while (move(link) && !link.over) {
      if (!link.stream.sending()) {
        if (said) break;
        link.stream.send({.kind = ShardMessage::Kind::kLeft});
        said = true;
        continue;
      }
      Mesh::Interest interest{.peer = link.stream.peer(), .send = true};
      if (!mesh_.wait(std::span(&interest, 1), until)) break;
    }
  }
}

Status ShardServer::wait() {
  if (shard_.awaits_mirror() && links_[0].over)
    return internal_error(fmt::format("rank {}, a parameter server, has left before all updates were there",
                                      links_[0].stream.peer()));
  const Instant now = std::chrono::steady_clock::now();
  const auto since = [now](bool waits, Instant before) {
    return waits ? before == Instant{} ? now : before : Instant{};
  };
  awaited_ = since(!shard_.awaited().empty(), awaited_);
  uneven_ = since(shard_.awaits_mirror(), uneven_);
  Instant until = awaited_ == Instant{} ? heard_ + options_.start_timeout : awaited_ + options_.timeout;
  const Instant mirror_until = uneven_ + (shard_.is_ready() ? options_.timeout : options_.start_timeout);
  const bool mirror_first = uneven_ != Instant{} && mirror_until < until;
  if (mirror_first) until = mirror_until;
  interests_.clear();
  const auto add_links = [this] {
    for (Link& link : links_)
      if (link.stream.busy()) interests_.push_back(link.stream.interest());
  };
  if (mirror_first) add_links();  // who is named first is named when it is late
  for (Peer& peer : peers_)
    if (peer.stream.busy()) interests_.push_back(peer.stream.interest());
  if (interests_.empty() && uneven_ == Instant{})
    return deadline_exceeded("all workers wait for an answer that none can get");
  if (!mirror_first) add_links();
  return mesh_.wait(interests_, until);
}

std::uint64_t ShardServer::payload_bytes_sent() const {
  std::uint64_t sent = 0;
  for (const Peer& peer : peers_) sent += peer.stream.payload_sent();
  return sent;
}

std::uint64_t ShardServer::replication_bytes_sent() const {
  std::uint64_t sent = 0;
  for (const Link& link : links_) sent += link.stream.replication_sent();
  return sent;
}

}  // namespace muster::worker
