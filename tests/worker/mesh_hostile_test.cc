// tests/worker/mesh_hostile_test.cc: callers and answerers that do not belong to the membership, on a rank's
// port
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "tests/worker/mesh_support.h"
#include "worker/transport/incoming.h"

namespace muster::worker::test {
namespace {

using State = PendingConnection::State;
using std::chrono::milliseconds;
using std::chrono::seconds;

class MeshHostile : public testing::TestWithParam<bool> {};
std::string stream_name(const testing::TestParamInfo<bool>& info) { return info.param ? "Tls" : "Plain"; }
INSTANTIATE_TEST_SUITE_P(Streams, MeshHostile, testing::Bool(), stream_name);

class Counts {  // of refusals, by reason
 public:
  void add(Refusal refusal) {
    const std::scoped_lock lock(mutex_);
    ++counts_[refusal];
    changed_.notify_all();
  }
  int of(Refusal refusal) {
    const std::scoped_lock lock(mutex_);
    return counts_[refusal];
  }
  [[nodiscard]] bool await(Refusal refusal, int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, soon(), [&] { return counts_[refusal] >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Refusal, int> counts_;
};

// A mesh of two of which rank 1 waits for rank 0 on a thread, until rank 0 comes.
class Waiting {
 public:
  explicit Waiting(bool encrypt) : ends_(listen_ends(2, encrypt)), port_(ends_.ports[1]->port()) {
    MeshPort::Options options = ends_.options(1);
    options.refused = [this](Refusal refusal) { counts.add(refusal); };
    options.log = [this](const std::string& /*line*/) { ++lines; };
    thread_ = std::jthread([this, options] {
      auto mesh = ends_.ports[1]->connect(options, soon());
      if (aborted_) return;
      ASSERT_TRUE(mesh) << mesh.error().message;
      MeshCollective group(*std::move(mesh), Topology::kRing);
      EXPECT_TRUE(group.barrier(soon()));
      group.leave({});
    });
  }
  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] const TcpEnds& ends() const { return ends_; }
  void complete() {  // rank 0 comes, and the mesh works
    auto mesh = ends_.ports[0]->connect(ends_.options(0), soon());
    ASSERT_TRUE(mesh) << mesh.error().message;
    MeshCollective group(*std::move(mesh), Topology::kRing);
    EXPECT_TRUE(group.barrier(soon()));
    group.leave({});
    thread_.join();
  }

  void abort() {
    aborted_ = true;
    ends_.ports[1]->abort();
  }

  Counts counts;
  std::atomic<int> lines = 0;

 private:
  std::atomic<bool> aborted_ = false;
  TcpEnds ends_;
  int port_;
  std::jthread thread_;
};

void say(const Fd& fd, std::string_view bytes) {
  EXPECT_EQ(send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

TEST_P(MeshHostile, CallersWithOtherWordsAreRefusedByReason) {
  Waiting ring(GetParam());
  const Link right = ring.ends().link(0);
  struct Case {
    Words words;
    Refusal refusal;
  };
  std::vector<Case> cases(6, {.words = {.link = right, .encrypt = GetParam()}, .refusal = Refusal::kRank});
  cases[0].words.link.job_uid = "job-2";
  cases[0].refusal = Refusal::kJob;
  cases[1].words.link.membership = 2;  // its proof is right, for that
  cases[1].refusal = Refusal::kMembership;
  cases[2].words.link.line.dialer = 1;
  cases[3].words.link.line.acceptor = 0;
  cases[4].words.link.line.channel = 9;
  cases[5].words.key = test_key(8);
  cases[5].refusal = GetParam() ? Refusal::kTls : Refusal::kProof;
  std::map<Refusal, int> expected;
  for (const Case& one : cases) {
    PendingConnection caller = call(ring.port(), one.words);
    EXPECT_NE(finish(caller), State::kProven);
    if (one.refusal != Refusal::kTls) {
      EXPECT_EQ(caller.refusal(), one.refusal);
    }
    EXPECT_TRUE(ring.counts.await(one.refusal, ++expected[one.refusal])) << label_of(one.refusal);
  }
  ring.complete();
}

TEST_P(MeshHostile, ARecordedCallProvesNothing) {
  Waiting ring(GetParam());
  // All that a member said to another acceptor, which welcomed it.
  Handshake member(Handshake::Role::kDialer, ring.ends().link(0), test_key(), random_nonce());
  Handshake acceptor(Handshake::Role::kAcceptor, ring.ends().link(0), test_key(), random_nonce());
  const auto hello = member.begin();
  const auto proof = member.heard(acceptor.heard(hello));
  (void)acceptor.heard(proof);
  ASSERT_EQ(acceptor.state(), Handshake::State::kProven);
  const Fd replay = dial(ring.port());
  std::string words(reinterpret_cast<const char*>(hello.data()), hello.size());
  words.append(reinterpret_cast<const char*>(proof.data()), proof.size());
  say(replay, words);
  EXPECT_TRUE(ring.counts.await(GetParam() ? Refusal::kTls : Refusal::kProof, 1));
  ring.complete();
}

TEST_P(MeshHostile, GarbageSilenceAndSlowBytesEndByTheirReason) {
  Waiting ring(GetParam());
  const Fd garbage = dial(ring.port());
  say(garbage, std::string(5'000, 'G'));
  EXPECT_TRUE(ring.counts.await(GetParam() ? Refusal::kTls : Refusal::kGarbage, 1));
  dial(ring.port()).reset();
  EXPECT_TRUE(ring.counts.await(GetParam() ? Refusal::kTls : Refusal::kClosed, GetParam() ? 2 : 1));
  const Fd silent = dial(ring.port());
  const Fd slow = dial(ring.port());
  const Instant begin = std::chrono::steady_clock::now();
  std::jthread drip([&](const std::stop_token& stop) {  // a byte now and then buys no time
    const char first = GetParam() ? '\x16' : 'M';
    while (!stop.stop_requested() && send(slow.get(), &first, 1, MSG_NOSIGNAL) == 1) {
      pollfd hung{.fd = slow.get(), .events = POLLIN, .revents = 0};
      poll(&hung, 1, 200);
      if (GetParam()) break;  // a second byte would be wrong already
    }
  });
  EXPECT_TRUE(ring.counts.await(Refusal::kTimeout, 2));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, kHandshakeTime - seconds(1));
  drip.request_stop();
  ring.complete();
}

TEST_P(MeshHostile, ThousandsOfStrangersKeepNoMemberOut) {
  constexpr int kStrangers = 2'000;
  constexpr std::size_t kOpenAtOnce = 200;
  Waiting ring(GetParam());
  Handshake known(Handshake::Role::kDialer, ring.ends().link(0), test_key(9), random_nonce());
  const auto hello = known.begin();  // all of it can be known, but the key
  std::atomic<int> made = 0;
  std::jthread flood([&](const std::stop_token& stop) {
    std::deque<Fd> open;
    while (!stop.stop_requested()) {
      Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      const auto from = make_address("127.0.0.2", 0);
      const auto to = make_address("127.0.0.1", ring.port());
      (void)bind(fd.get(), reinterpret_cast<const sockaddr*>(&from->storage), from->length);
      if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to->storage), to->length) != 0) return;
      const std::string garbage(300, 'G');
      if (made % 4 == 1) (void)send(fd.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL);
      if (made % 4 == 2) (void)send(fd.get(), hello.data(), 50, MSG_NOSIGNAL);
      if (made % 4 == 3) (void)send(fd.get(), hello.data(), hello.size(), MSG_NOSIGNAL);
      open.push_back(std::move(fd));
      if (open.size() > kOpenAtOnce) open.pop_front();
      if (++made == kStrangers) made.notify_all();
    }
  });
  for (int seen = made; seen < kStrangers; seen = made) made.wait(seen);
  const Instant begin = std::chrono::steady_clock::now();
  ring.complete();  // while they go on
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(10));
  flood.request_stop();
  EXPECT_GT(ring.counts.of(Refusal::kCrowded) + ring.counts.of(Refusal::kClosed) +
                ring.counts.of(Refusal::kGarbage) + ring.counts.of(Refusal::kTls),
            kStrangers / 2);
  EXPECT_LT(ring.lines, 100) << "the log has a limit";
}

TEST_P(MeshHostile, StrangersNeverPushAMemberOut) {
  Waiting ring(GetParam());
  // A member that is slow to answer, though within its time.
  PendingConnection member = call(ring.port(), {.link = ring.ends().link(0), .encrypt = GetParam()});
  constexpr auto kMany = static_cast<int>(2 * Incoming::kPendingMax);
  std::vector<Fd> strangers;
  strangers.reserve(kMany);
  for (int i = 0; i < kMany; ++i) strangers.push_back(dial(ring.port(), "127.0.0.2"));
  EXPECT_TRUE(ring.counts.await(Refusal::kCrowded, kMany / 2));
  EXPECT_EQ(finish(member), State::kProven);
  ring.abort();
}

TEST_P(MeshHostile, AnAnswererWithoutTheKeyIsNotTaken) {
  TcpEnds ends = listen_ends(2, GetParam());
  Fd listener = *listen_on(*make_address("127.0.0.1", 0), 8);
  const int port = port_of(listener.get());
  ends.peers[1] = fmt::format("127.0.0.1:{}", port);
  Counts counts;
  MeshPort::Options options = ends.options(0);
  options.refused = [&](Refusal refusal) { counts.add(refusal); };
  std::jthread impostor([&] {  // at the successor's address, with all that can be known
    pollfd arrival{.fd = listener.get(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(1, poll(&arrival, 1, 30'000));
    Fd fd(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    Handshake words(Handshake::Role::kAcceptor, ends.link(0), test_key(9), random_nonce());
    std::vector<std::byte> heard(words.expected());
    pollfd ready{.fd = fd.get(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(1, poll(&ready, 1, 30'000));
    ASSERT_EQ(recv(fd.get(), heard.data(), heard.size(), 0), static_cast<ssize_t>(heard.size()));
    auto answer = words.heard(heard);
    if (GetParam()) {
      answer.assign(200, std::byte{0x15});
    } else {
      (void)send(fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      answer[8] = std::byte{2};  // says welcome, with a nonce for a proof
    }
    (void)send(fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    EXPECT_TRUE(counts.await(GetParam() ? Refusal::kTls : Refusal::kProof, 1));
    ends.ports[0]->abort();
  });
  EXPECT_EQ(ends.ports[0]->connect(options, soon()).error().code, Code::kAborted);
}

}  // namespace
}  // namespace muster::worker::test
