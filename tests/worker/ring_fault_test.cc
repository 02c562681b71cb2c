// tests/worker/ring_fault_test.cc: what ranks see when others close, stall, lie or are not who they should be
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "tests/worker/ring_support.h"
#include "worker/collective/ring.h"

namespace muster::worker::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

// Each over plain connections and over TLS.
class RingFault : public testing::TestWithParam<bool> {};
class RingRendezvous : public testing::TestWithParam<bool> {};
const auto kStreams = testing::Bool();
std::string stream_name(const testing::TestParamInfo<bool>& info) { return info.param ? "Tls" : "Plain"; }
INSTANTIATE_TEST_SUITE_P(Streams, RingFault, kStreams, stream_name);
INSTANTIATE_TEST_SUITE_P(Streams, RingRendezvous, kStreams, stream_name);

TEST_P(RingFault, AllRanksNameTheOneThatDiedAtOnce) {
  constexpr int kSize = 5;
  auto group = collectives(tcp_ring(kSize, GetParam()));
  std::vector<std::string> messages(kSize);
  on_all_ranks(
      kSize, [&](int rank) {  // all of it, before one dies: a loss ends even calls that could end well
        std::vector<float> buffer(100'000, 1.0F);
        ASSERT_TRUE(group[static_cast<std::size_t>(rank)]->all_reduce_sum(buffer, Traffic::kPayload, soon()));
      });
  const auto begin = steady_clock::now();
  on_all_ranks(kSize, [&](int rank) {
    const auto index = static_cast<std::size_t>(rank);
    std::vector<float> buffer(100'000, 1.0F);
    if (rank == 2) {
      group[index].reset();  // as a killed process: sockets close, nothing is said
      return;
    }
    const Status status = group[index]->all_reduce_sum(buffer, Traffic::kPayload, soon());
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::kUnavailable);
    messages[index] = status.error().message;
    group[index].reset();
  });
  EXPECT_LT(steady_clock::now() - begin, milliseconds(1000));
  for (const int rank : {0, 1, 3, 4}) {
    EXPECT_THAT(messages[static_cast<std::size_t>(rank)], HasSubstr("rank 2 (127.0.0.1:")) << "rank " << rank;
    EXPECT_THAT(messages[static_cast<std::size_t>(rank)], HasSubstr("closed the connection"));
  }
}

TEST_P(RingFault, ARankThatLeavesTellsAllOthersWhy) {
  constexpr int kSize = 4;
  auto group = collectives(tcp_ring(kSize, GetParam()));
  on_all_ranks(kSize, [&](int rank) {
    const auto index = static_cast<std::size_t>(rank);
    if (rank == 1) {
      group[index]->leave(data_loss("rank 1 found a truncated file"));
      return;
    }
    std::vector<float> buffer(100'000, 1.0F);
    const Status status = group[index]->all_reduce_sum(buffer, Traffic::kPayload, soon());
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error(), data_loss("rank 1 found a truncated file")) << "rank " << rank;
    group[index].reset();
  });
}

TEST_P(RingFault, ARankThatDoesNotComeIsNamedByAllAtTheDeadline) {
  auto group = collectives(tcp_ring(3, GetParam()));
  // More than the sockets' buffers hold; made before the clock starts, since fresh pages take their time.
  std::vector<std::vector<float>> buffers(3, std::vector<float>(4'000'000, 1.0F));
  const Deadline deadline = deadline_after(milliseconds(500));
  on_all_ranks(3, [&](int rank) {
    if (rank == 0) return;  // takes part in nothing, closes nothing
    const auto index = static_cast<std::size_t>(rank);
    const Status status = group[index]->all_reduce_sum(buffers[index], Traffic::kPayload, deadline);
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().code, testing::AnyOf(Code::kDeadlineExceeded, Code::kUnavailable));
    EXPECT_THAT(status.error().message, HasSubstr("rank 0 (127.0.0.1:")) << "rank " << rank;
    EXPECT_THAT(status.error().message, HasSubstr("stands still"));
  });
  EXPECT_LT(steady_clock::now(), deadline + milliseconds(2000));
}

TEST_P(RingFault, ALossIsToldWhileTheNeighboursCompute) {
  auto group = collectives(tcp_ring(4, GetParam()));
  std::vector<float> buffer(8, 1.0F);
  group[2].reset();  // ranks 1 and 3 make no call: only their watch can tell rank 0
  const Status status = group[0]->all_reduce_sum(buffer, Traffic::kPayload, soon());
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("rank 2 (127.0.0.1:"));
}

TEST_P(RingFault, ARankThatIsDoneLosesNothingThatItSent) {
  for (int round = 0; round < 20; ++round) {
    auto group = collectives(tcp_ring(2, GetParam()));
    on_all_ranks(2, [&](int rank) {
      const auto index = static_cast<std::size_t>(rank);
      std::vector<std::byte> buffer(3'000'000, static_cast<std::byte>(rank + 1));
      const Status status = group[index]->broadcast(buffer, 0, soon());
      EXPECT_TRUE(status) << status.error().message;
      EXPECT_EQ(buffer.back(), static_cast<std::byte>(1));
      group[index]->leave({});
      group[index].reset();
    });
  }
}

TEST_P(RingFault, AnAbortFromAnotherThreadEndsACallThatWaits) {
  auto group = collectives(tcp_ring(2, GetParam()));
  std::atomic<bool> called = false;
  std::jthread aborter([&] {
    called.wait(false);
    group[0]->abort();
  });
  std::vector<float> buffer(8, 1.0F);
  called = true;
  called.notify_all();
  EXPECT_EQ(group[0]->all_reduce_sum(buffer, Traffic::kPayload, soon()).error().code, Code::kAborted);
}

TEST_P(RingFault, RanksThatMakeDifferentCallsGetAnErrorInsteadOfSums) {
  auto group = collectives(tcp_ring(2, GetParam()));
  on_all_ranks(2, [&](int rank) {
    std::vector<float> buffer(rank == 0 ? 100 : 101, 1.0F);
    const Status status =
        group[static_cast<std::size_t>(rank)]->all_reduce_sum(buffer, Traffic::kPayload, soon());
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, HasSubstr("do not run the same program"));
  });
}

TEST_P(RingRendezvous, AnotherMembershipIsRefusedAndNamedWhenTimeIsUp) {
  TcpEnds ends = listen_ends(2, GetParam());
  std::mutex mutex;
  std::vector<std::string> lines;
  const Deadline deadline = deadline_after(milliseconds(300));
  on_all_ranks(2, [&](int rank) {
    TcpRing::Options options = ends.options(rank, rank == 0 ? 1 : 2);
    options.log = [&](const std::string& line) {
      const std::scoped_lock lock(mutex);
      lines.push_back(line);
    };
    const auto links = ends.rings[static_cast<std::size_t>(rank)]->connect(options, deadline);
    ASSERT_FALSE(links);
    EXPECT_EQ(links.error().code, Code::kDeadlineExceeded);
    if (rank == 0) {
      EXPECT_THAT(links.error().message, HasSubstr("the caller is of membership 2, this worker of 1"));
    }
  });
  EXPECT_THAT(lines, testing::Contains(HasSubstr("was refused: the caller is of membership")));
}

TEST_P(RingRendezvous, APredecessorThatGaveUpAndComesAgainIsTaken) {
  TcpEnds ends = listen_ends(2, GetParam());
  {
    // As rank 0 does when rank 1 is configured long after it.
    PendingConnection gone = call(ends.rings[1]->port(), {.link = ends.link(0), .encrypt = GetParam()});
    gone.step();
  }
  const Deadline deadline = deadline_after(std::chrono::seconds(10));
  on_all_ranks(2, [&](int rank) {
    auto links = ends.rings[static_cast<std::size_t>(rank)]->connect(ends.options(rank), deadline);
    ASSERT_TRUE(links) << links.error().message;
    Ring ring(*std::move(links));
    EXPECT_TRUE(ring.barrier(deadline));
    ring.leave({});
  });
}

TEST_P(RingRendezvous, APredecessorThatWentAfterItsWelcomeMayComeAgain) {
  TcpEnds ends = listen_ends(2, GetParam());
  const int port = ends.rings[1]->port();
  const Words words{.link = ends.link(0), .encrypt = GetParam()};
  std::jthread rank1([&] { EXPECT_FALSE(ends.rings[1]->connect(ends.options(1), soon())); });
  {
    PendingConnection first = call(port, words);
    ASSERT_EQ(finish(first), PendingConnection::State::kProven);
    PendingConnection twin = call(port, words);
    EXPECT_EQ(finish(twin), PendingConnection::State::kRefusedByPeer);
    EXPECT_EQ(twin.refusal(), Refusal::kTaken);
  }
  PendingConnection again = call(port, words);
  EXPECT_EQ(finish(again), PendingConnection::State::kProven);
  ends.rings[1]->abort();
}

TEST_P(RingRendezvous, WaitsForRanksThatStartLater) {
  TcpEnds ends = listen_ends(2, GetParam());
  const int port = ends.rings[1]->port();
  ends.rings[1].reset();  // nobody listens there yet: connections are refused
  std::jthread late([&] {
    std::this_thread::sleep_for(milliseconds(100));  // the lateness itself is the subject
    ends.rings[1] = *TcpRing::listen("127.0.0.1", port);
    EXPECT_TRUE(ends.rings[1]->connect(ends.options(1), soon()));
  });
  EXPECT_TRUE(ends.rings[0]->connect(ends.options(0), soon()));
}

TEST_P(RingRendezvous, NamesTheRankThatIsMissing) {
  TcpEnds ends = listen_ends(2, GetParam());
  ends.rings[1].reset();
  const auto links = ends.rings[0]->connect(ends.options(0), deadline_after(milliseconds(100)));
  ASSERT_FALSE(links);
  EXPECT_EQ(links.error().code, Code::kDeadlineExceeded);
  EXPECT_THAT(links.error().message, HasSubstr(fmt::format("successor rank 1 ({}): ", ends.peers[1])));
  EXPECT_THAT(links.error().message, HasSubstr("Connection refused"));
}

TEST_P(RingRendezvous, APortInUseIsNamed) {
  auto first = TcpRing::listen("127.0.0.1", 0);
  const auto second = TcpRing::listen("127.0.0.1", (*first)->port());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kAlreadyExists);
  EXPECT_THAT(second.error().message, HasSubstr(fmt::format("127.0.0.1:{}", (*first)->port())));
}

TEST_P(RingRendezvous, AnAbortEndsIt) {
  TcpEnds ends = listen_ends(2, GetParam());
  std::jthread aborter([&] { ends.rings[0]->abort(); });
  EXPECT_EQ(ends.rings[0]->connect(ends.options(0), soon()).error().code, Code::kAborted);
}

}  // namespace
}  // namespace muster::worker::test
