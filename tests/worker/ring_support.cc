// tests/worker/ring_support.cc: the rings behind ring_support.h
#include "tests/worker/ring_support.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "common/base/random.h"
#include "worker/collective/ring.h"
#include "worker/collective/solo.h"
#include "worker/transport/tls_stream.h"

namespace muster::worker::test {
namespace {

constexpr std::size_t kPipeBytes = 4096;  // small, so that senders meet a full link

struct World {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::deque<std::byte>> pipes;  // [r]: from r to r + 1
  bool aborted = false;
};

class MemoryLinks final : public RingLinks {
 public:
  MemoryLinks(std::shared_ptr<World> world, int rank, int size, std::uint64_t seed)
      : world_(std::move(world)), rank_(rank), size_(size), random_(hash_key(seed, rank)) {}

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }

  Result<std::size_t> send_some(std::span<const std::byte> head, std::span<const std::byte> body) override {
    const std::scoped_lock lock(world_->mutex);
    if (world_->aborted) return aborted("aborted");
    auto& pipe = out();
    std::size_t allowed = random_.below(std::min(head.size() + body.size(), kPipeBytes - pipe.size()) + 1);
    const std::size_t total = allowed;
    for (const auto part : {head, body}) {
      const std::size_t count = std::min(allowed, part.size());
      pipe.insert(pipe.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(count));
      allowed -= count;
    }
    world_->changed.notify_all();
    return total;
  }

  Result<std::size_t> receive_some(std::span<std::byte> head, std::span<std::byte> body) override {
    const std::scoped_lock lock(world_->mutex);
    if (world_->aborted) return aborted("aborted");
    auto& pipe = in();
    std::size_t allowed = random_.below(std::min(head.size() + body.size(), pipe.size()) + 1);
    const std::size_t total = allowed;
    for (const auto part : {head, body}) {
      const std::size_t count = std::min(allowed, part.size());
      std::copy_n(pipe.begin(), count, part.begin());
      pipe.erase(pipe.begin(), pipe.begin() + static_cast<std::ptrdiff_t>(count));
      allowed -= count;
    }
    world_->changed.notify_all();
    return total;
  }

  Result<Ready> wait(bool sending, bool receiving, Deadline deadline) override {
    std::unique_lock lock(world_->mutex);
    Ready ready;
    const bool in_time = world_->changed.wait_until(lock, deadline, [&] {
      ready.send = sending && out().size() < kPipeBytes;
      ready.receive = receiving && !in().empty();
      return ready.send || ready.receive || world_->aborted;
    });
    if (!in_time) return deadline_exceeded("late");
    if (world_->aborted) return aborted("aborted");
    return ready;
  }

  void abort() noexcept override {
    const std::scoped_lock lock(world_->mutex);
    world_->aborted = true;
    world_->changed.notify_all();
  }
  void leave(const Status& /*why*/) noexcept override { abort(); }

 private:
  std::deque<std::byte>& out() { return world_->pipes[static_cast<std::size_t>(rank_)]; }
  std::deque<std::byte>& in() { return world_->pipes[static_cast<std::size_t>((rank_ + size_ - 1) % size_)]; }

  std::shared_ptr<World> world_;
  int rank_;
  int size_;
  Random random_;
};

}  // namespace

std::vector<std::unique_ptr<RingLinks>> memory_ring(int size, std::uint64_t seed) {
  auto world = std::make_shared<World>();
  world->pipes.resize(static_cast<std::size_t>(size));
  std::vector<std::unique_ptr<RingLinks>> links;
  links.reserve(static_cast<std::size_t>(size));
  for (int rank = 0; rank < size; ++rank)
    links.push_back(std::make_unique<MemoryLinks>(world, rank, size, seed));
  return links;
}

TcpRing::Options TcpEnds::options(int rank, std::int64_t membership) const {
  return {.identity = {.job_uid = "job-1",
                       .membership = membership,
                       .rank = rank,
                       .size = static_cast<int>(peers.size())},
          .key = test_key(),
          .encrypt = encrypt,
          .peers = peers,
          .log = {},
          .refused = {}};
}

Link TcpEnds::link(int dialer) const {
  const int size = static_cast<int>(peers.size());
  return {
      .job_uid = "job-1", .membership = 1, .dialer = dialer, .acceptor = (dialer + 1) % size, .size = size};
}

MembershipKey test_key(int fill) {
  MembershipKey key{};
  key.fill(static_cast<std::byte>(fill));
  return key;
}

TcpEnds listen_ends(int size, bool encrypt) {
  TcpEnds ends;
  ends.encrypt = encrypt;
  for (int rank = 0; rank < size; ++rank) {
    auto ring = TcpRing::listen("127.0.0.1", 0);
    if (!ring) {
      ADD_FAILURE() << ring.error().message;
      return ends;
    }
    ends.peers.push_back(fmt::format("127.0.0.1:{}", (*ring)->port()));
    ends.rings.push_back(*std::move(ring));
  }
  return ends;
}

Fd dial(int port, const std::string& from) {
  const auto source = make_address(from, 0);
  const auto address = make_address("127.0.0.1", port);
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(0, bind(fd.get(), reinterpret_cast<const sockaddr*>(&source->storage), source->length));
  EXPECT_EQ(0, connect(fd.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->length));
  return fd;
}

PendingConnection call(int port, const Words& words) {
  Fd fd = dial(port);
  auto stream = words.encrypt ? TlsStreams(words.key).stream(std::move(fd), Handshake::Role::kDialer)
                              : plain_stream(std::move(fd));
  return {std::move(stream), Handshake(Handshake::Role::kDialer, words.link, words.key, random_nonce()),
          soon()};
}

PendingConnection::State finish(PendingConnection& connection) {
  while (connection.state() == PendingConnection::State::kRunning) {
    pollfd ready{.fd = connection.fd(), .events = connection.events(), .revents = 0};
    if (poll(&ready, 1, 30'000) == 0) {
      ADD_FAILURE() << "the handshake stands still";
      break;
    }
    connection.step();
  }
  return connection.state();
}

std::vector<std::unique_ptr<RingLinks>> tcp_ring(int size, bool encrypt) {
  TcpEnds ends = listen_ends(size, encrypt);
  std::vector<std::unique_ptr<RingLinks>> links(static_cast<std::size_t>(size));
  on_all_ranks(size, [&](int rank) {
    auto connected = ends.rings[static_cast<std::size_t>(rank)]->connect(ends.options(rank), soon());
    if (!connected) {
      ADD_FAILURE() << connected.error().message;
      return;
    }
    links[static_cast<std::size_t>(rank)] = *std::move(connected);
  });
  return links;
}

std::vector<std::unique_ptr<Collective>> collectives(std::vector<std::unique_ptr<RingLinks>> links) {
  std::vector<std::unique_ptr<Collective>> group;
  if (links.size() <= 1) {
    group.push_back(std::make_unique<Solo>());
    return group;
  }
  for (auto& link : links) group.push_back(std::make_unique<Ring>(std::move(link)));
  return group;
}

void on_all_ranks(int size, const std::function<void(int)>& body) {
  std::vector<std::jthread> threads;
  threads.reserve(static_cast<std::size_t>(size));
  for (int rank = 0; rank < size; ++rank) threads.emplace_back([&body, rank] { body(rank); });
}

Deadline soon() { return deadline_after(std::chrono::seconds(30)); }

}  // namespace muster::worker::test
