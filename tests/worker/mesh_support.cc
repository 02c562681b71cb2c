// tests/worker/mesh_support.cc: the meshes behind mesh_support.h
#include "tests/worker/mesh_support.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "common/base/random.h"
#include "common/base/slice.h"
#include "worker/collective/solo.h"
#include "worker/transport/tls_stream.h"

namespace muster::worker::test {
namespace {

constexpr std::size_t kPipeBytes = 4096;  // small, so that senders meet a full link

struct World {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::pair<int, int>, std::deque<std::byte>> pipes;  // [from, to]
  bool aborted = false;
};

class MemoryMesh final : public Mesh {
 public:
  MemoryMesh(std::shared_ptr<World> world, int rank, int size, std::uint64_t seed)
      : world_(std::move(world)), rank_(rank), size_(size), random_(hash_key(seed, rank)) {}

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }

  Result<std::size_t> send_some(int peer, std::span<const std::byte> head,
                                std::span<const std::byte> body) override {
    const std::scoped_lock lock(world_->mutex);
    if (world_->aborted) return aborted("aborted");
    auto& pipe = world_->pipes[{rank_, peer}];
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

  Result<std::size_t> receive_some(int peer, std::span<std::byte> head, std::span<std::byte> body) override {
    const std::scoped_lock lock(world_->mutex);
    if (world_->aborted) return aborted("aborted");
    auto& pipe = world_->pipes[{peer, rank_}];
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

  Status wait(std::span<Interest> interests, Deadline deadline) override {
    std::unique_lock lock(world_->mutex);
    const auto can_send = [&](const Interest& of) {
      return of.send && world_->pipes[{rank_, of.peer}].size() < kPipeBytes;
    };
    const auto can_receive = [&](const Interest& of) {
      return of.receive && !world_->pipes[{of.peer, rank_}].empty();
    };
    const bool in_time = world_->changed.wait_until(lock, deadline, [&] {
      return world_->aborted || std::ranges::any_of(interests, [&](const Interest& of) {
               return can_send(of) || can_receive(of);
             });
    });
    if (!in_time && interests.empty()) return {};
    if (!in_time) return deadline_exceeded("late");
    if (world_->aborted) return aborted("aborted");
    for (Interest& of : interests) {
      const bool send = can_send(of);
      of.receive = can_receive(of);
      of.send = send;
    }
    return {};
  }

  Status state() override {
    const std::scoped_lock lock(world_->mutex);
    return world_->aborted ? Status(aborted("aborted")) : Status();
  }
  std::optional<Error> blame() override { return std::nullopt; }
  void abort() noexcept override {
    const std::scoped_lock lock(world_->mutex);
    world_->aborted = true;
    world_->changed.notify_all();
  }
  void leave(const Status& /*why*/) noexcept override { abort(); }

 private:
  std::shared_ptr<World> world_;
  int rank_;
  int size_;
  Random random_;
};

}  // namespace

std::vector<std::unique_ptr<Mesh>> memory_mesh(int size, std::uint64_t seed) {
  auto world = std::make_shared<World>();
  std::vector<std::unique_ptr<Mesh>> meshes;
  meshes.reserve(static_cast<std::size_t>(size));
  for (int rank = 0; rank < size; ++rank)
    meshes.push_back(std::make_unique<MemoryMesh>(world, rank, size, seed));
  return meshes;
}

MeshPort::Options TcpEnds::options(int rank, std::int64_t membership) const {
  return {.identity = {.job_uid = "job-1",
                       .membership = membership,
                       .rank = rank,
                       .size = static_cast<int>(peers.size())},
          .key = test_key(),
          .encrypt = encrypt,
          .share_memory = share_memory,
          .peers = peers,
          .log = {},
          .refused = {}};
}

Link TcpEnds::link(int dialer) const {
  const int size = static_cast<int>(peers.size());
  return {.job_uid = "job-1",
          .membership = 1,
          .line = {.dialer = dialer, .acceptor = (dialer + 1) % size},
          .size = size};
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
    auto port = MeshPort::listen("127.0.0.1", 0);
    if (!port) {
      ADD_FAILURE() << port.error().message;
      return ends;
    }
    ends.peers.push_back(fmt::format("127.0.0.1:{}", (*port)->port()));
    ends.ports.push_back(*std::move(port));
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
                              : std::make_unique<PlainStream>(std::move(fd));
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

std::vector<std::unique_ptr<Mesh>> tcp_mesh(int size, Wires wires) {
  TcpEnds ends = listen_ends(size, wires == Wires::kTls);
  ends.share_memory = wires == Wires::kMemory;
  std::vector<std::unique_ptr<Mesh>> meshes(static_cast<std::size_t>(size));
  on_all_ranks(size, [&](int rank) {
    auto connected = ends.ports[static_cast<std::size_t>(rank)]->connect(ends.options(rank), soon());
    if (!connected) {
      ADD_FAILURE() << connected.error().message;
      return;
    }
    meshes[static_cast<std::size_t>(rank)] = *std::move(connected);
  });
  return meshes;
}

std::vector<std::unique_ptr<Collective>> collectives(std::vector<std::unique_ptr<Mesh>> meshes,
                                                     std::optional<Topology> topology) {
  std::vector<std::unique_ptr<Collective>> group;
  if (meshes.size() <= 1) {
    group.push_back(std::make_unique<Solo>());
    return group;
  }
  for (auto& mesh : meshes) group.push_back(std::make_unique<MeshCollective>(std::move(mesh), topology));
  return group;
}

std::uint64_t ring_bytes(std::size_t elements, int ranks, int rank) {
  if (ranks == 1) return 0;
  const auto count = static_cast<std::int64_t>(elements);
  const auto part = [&](int i) { return slice_of(count, i % ranks, ranks).size(); };
  return sizeof(float) * static_cast<std::uint64_t>(2 * count - part(rank + 1) - part(rank + 2));
}

void on_all_ranks(int size, const std::function<void(int)>& body) {
  std::vector<std::jthread> threads;
  threads.reserve(static_cast<std::size_t>(size));
  for (int rank = 0; rank < size; ++rank) threads.emplace_back([&body, rank] { body(rank); });
}

Deadline soon() { return deadline_after(std::chrono::seconds(30)); }

}  // namespace muster::worker::test
