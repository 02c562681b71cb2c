// tests/worker/ring_fault_test.cc: what ranks see when others close, stall, lie or are not who they should be
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "tests/worker/ring_support.h"
#include "worker/collective/ring.h"
#include "worker/transport/sockets.h"

namespace muster::worker::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

// A plain client of a ring's port, as anything on the network may be one.
Fd dial(int port) {
  const auto address = make_address("127.0.0.1", port);
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(0, connect(fd.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->length));
  return fd;
}

TEST(RingFault, AllRanksNameTheOneThatDiedAtOnce) {
  constexpr int kSize = 5;
  auto group = collectives(tcp_ring(kSize));
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

TEST(RingFault, ARankThatLeavesTellsAllOthersWhy) {
  constexpr int kSize = 4;
  auto group = collectives(tcp_ring(kSize));
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

TEST(RingFault, ARankThatDoesNotComeIsNamedByAllAtTheDeadline) {
  auto group = collectives(tcp_ring(3));
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

TEST(RingFault, ALossIsToldWhileTheNeighboursCompute) {
  auto group = collectives(tcp_ring(4));
  std::vector<float> buffer(8, 1.0F);
  group[2].reset();  // ranks 1 and 3 make no call: only their watch can tell rank 0
  const Status status = group[0]->all_reduce_sum(buffer, Traffic::kPayload, soon());
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("rank 2 (127.0.0.1:"));
}

TEST(RingFault, ARankThatIsDoneLosesNothingThatItSent) {
  for (int round = 0; round < 20; ++round) {
    auto group = collectives(tcp_ring(2));
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

TEST(RingFault, AnAbortFromAnotherThreadEndsACallThatWaits) {
  auto group = collectives(tcp_ring(2));
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

TEST(RingFault, RanksThatMakeDifferentCallsGetAnErrorInsteadOfSums) {
  auto group = collectives(tcp_ring(2));
  on_all_ranks(2, [&](int rank) {
    std::vector<float> buffer(rank == 0 ? 100 : 101, 1.0F);
    const Status status =
        group[static_cast<std::size_t>(rank)]->all_reduce_sum(buffer, Traffic::kPayload, soon());
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, HasSubstr("do not run the same program"));
  });
}

TEST(RingRendezvous, AnotherMembershipIsRefusedAndNamedWhenTimeIsUp) {
  TcpEnds ends = listen_ends(2);
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
      EXPECT_THAT(links.error().message, HasSubstr("membership 2, this worker of 1"));
    }
  });
  EXPECT_THAT(lines, testing::Contains(HasSubstr("was refused: the peer is of incarnation")));
}

TEST(RingRendezvous, StrangersAndGarbageOnThePortHoldNobodyUp) {
  TcpEnds ends = listen_ends(2);
  std::vector<Fd> strangers;
  for (int i = 0; i < 50; ++i) strangers.push_back(dial(ends.rings[0]->port()));
  const std::string garbage(5000, 'G');
  for (std::size_t i = 0; i < 10; ++i)
    EXPECT_GT(send(strangers[i].get(), garbage.data(), garbage.size(), 0), 0);
  strangers[20].reset();
  on_all_ranks(2, [&](int rank) {
    const auto links = ends.rings[static_cast<std::size_t>(rank)]->connect(ends.options(rank), soon());
    EXPECT_TRUE(links) << links.error().message;
  });
}

void greet(const Fd& fd, const TcpRing::Options& options) {
  const HelloBytes hello = encode_hello(options.identity, 0);
  EXPECT_EQ(send(fd.get(), hello.data(), hello.size(), MSG_NOSIGNAL), static_cast<ssize_t>(hello.size()));
}

std::optional<Note> answer_to(const Fd& fd) {
  NoteBytes note{};
  if (recv(fd.get(), note.data(), note.size(), MSG_WAITALL) != static_cast<ssize_t>(note.size()))
    return std::nullopt;
  return decode_note(note);
}

TEST(RingRendezvous, APredecessorThatGaveUpAndComesAgainIsTaken) {
  TcpEnds ends = listen_ends(2);
  {
    const Fd gone = dial(ends.rings[1]->port());  // as rank 0 does when rank 1 is configured long after it
    greet(gone, ends.options(0));
  }
  const Deadline deadline = deadline_after(std::chrono::seconds(10));
  on_all_ranks(2, [&](int rank) {
    auto links = ends.rings[static_cast<std::size_t>(rank)]->connect(ends.options(rank), deadline);
    ASSERT_TRUE(links) << links.error().message;
    Ring ring(*std::move(links));
    EXPECT_TRUE(ring.barrier(deadline));
  });
}

TEST(RingRendezvous, APredecessorThatWentAfterItsWelcomeMayComeAgain) {
  TcpEnds ends = listen_ends(2);
  std::jthread rank1([&] { EXPECT_FALSE(ends.rings[1]->connect(ends.options(1), soon())); });
  {
    const Fd first = dial(ends.rings[1]->port());
    greet(first, ends.options(0));
    ASSERT_EQ(answer_to(first).value().kind, Note::Kind::kWelcome);
    const Fd twin = dial(ends.rings[1]->port());
    greet(twin, ends.options(0));
    EXPECT_THAT(answer_to(twin).value().reason.message, HasSubstr("its place is taken"));
  }
  const Fd again = dial(ends.rings[1]->port());
  greet(again, ends.options(0));
  EXPECT_EQ(answer_to(again).value().kind, Note::Kind::kWelcome);
  ends.rings[1]->abort();
}

TEST(RingRendezvous, WaitsForRanksThatStartLater) {
  TcpEnds ends = listen_ends(2);
  const int port = ends.rings[1]->port();
  ends.rings[1].reset();  // nobody listens there yet: connections are refused
  std::jthread late([&] {
    std::this_thread::sleep_for(milliseconds(100));  // the lateness itself is the subject
    ends.rings[1] = *TcpRing::listen("127.0.0.1", port);
    EXPECT_TRUE(ends.rings[1]->connect(ends.options(1), soon()));
  });
  EXPECT_TRUE(ends.rings[0]->connect(ends.options(0), soon()));
}

TEST(RingRendezvous, NamesTheRankThatIsMissing) {
  TcpEnds ends = listen_ends(2);
  ends.rings[1].reset();
  const auto links = ends.rings[0]->connect(ends.options(0), deadline_after(milliseconds(100)));
  ASSERT_FALSE(links);
  EXPECT_EQ(links.error().code, Code::kDeadlineExceeded);
  EXPECT_THAT(links.error().message, HasSubstr(fmt::format("successor rank 1 ({}): ", ends.peers[1])));
  EXPECT_THAT(links.error().message, HasSubstr("Connection refused"));
}

TEST(RingRendezvous, APortInUseIsNamed) {
  auto first = TcpRing::listen("127.0.0.1", 0);
  const auto second = TcpRing::listen("127.0.0.1", (*first)->port());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kAlreadyExists);
  EXPECT_THAT(second.error().message, HasSubstr(fmt::format("127.0.0.1:{}", (*first)->port())));
}

TEST(RingRendezvous, AnAbortEndsIt) {
  TcpEnds ends = listen_ends(2);
  std::jthread aborter([&] { ends.rings[0]->abort(); });
  EXPECT_EQ(ends.rings[0]->connect(ends.options(0), soon()).error().code, Code::kAborted);
}

}  // namespace
}  // namespace muster::worker::test
