// tests/worker/mesh_fault_test.cc: what ranks see when others close, stall, lie or are not who they should be
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "tests/worker/mesh_support.h"

namespace muster::worker::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

class MeshFault : public testing::TestWithParam<Wires> {};
INSTANTIATE_TEST_SUITE_P(Streams, MeshFault, testing::ValuesIn(kWires),
                         [](const auto& one) { return name_of(one.param); });
// Over plain connections and over TLS.
class MeshRendezvous : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Streams, MeshRendezvous, testing::Bool(),
                         [](const auto& one) { return one.param ? "Tls" : "Plain"; });

TEST_P(MeshFault, AllRanksNameTheOneThatDiedAtOnce) {
  constexpr int kSize = 5;
  auto group = collectives(tcp_mesh(kSize, GetParam()));
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

TEST_P(MeshFault, ARankThatLeavesTellsAllOthersWhy) {
  constexpr int kSize = 4;
  auto group = collectives(tcp_mesh(kSize, GetParam()));
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

TEST_P(MeshFault, ARankThatDoesNotComeIsNamedByAllAtTheDeadline) {
  auto group = collectives(tcp_mesh(3, GetParam()));
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

TEST_P(MeshFault, ALossIsToldWhileTheNeighboursCompute) {
  auto group = collectives(tcp_mesh(4, GetParam()));
  std::vector<float> buffer(8, 1.0F);
  group[2].reset();  // ranks 1 and 3 make no call: only their watch can tell rank 0
  const Status status = group[0]->all_reduce_sum(buffer, Traffic::kPayload, soon());
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("rank 2 (127.0.0.1:"));
}

TEST_P(MeshFault, ARankThatIsDoneLosesNothingThatItSent) {
  for (int round = 0; round < 20; ++round) {
    auto group = collectives(tcp_mesh(2, GetParam()));
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

TEST_P(MeshFault, AnAbortFromAnotherThreadEndsACallThatWaits) {
  auto group = collectives(tcp_mesh(2, GetParam()));
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

TEST_P(MeshFault, RanksThatMakeDifferentCallsGetAnErrorInsteadOfSums) {
  auto group = collectives(tcp_mesh(2, GetParam()));
  on_all_ranks(2, [&](int rank) {
    std::vector<float> buffer(rank == 0 ? 100 : 101, 1.0F);
    const Status status =
        group[static_cast<std::size_t>(rank)]->all_reduce_sum(buffer, Traffic::kPayload, soon());
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, HasSubstr("do not run the same program"));
  });
}

TEST_P(MeshRendezvous, AnotherMembershipIsRefusedAndNamedWhenTimeIsUp) {
  TcpEnds ends = listen_ends(2, GetParam());
  std::mutex mutex;
  std::vector<std::string> lines;
  const Deadline deadline = deadline_after(milliseconds(300));
  on_all_ranks(2, [&](int rank) {
    MeshPort::Options options = ends.options(rank, rank == 0 ? 1 : 2);
    options.log = [&](const std::string& line) {
      const std::scoped_lock lock(mutex);
      lines.push_back(line);
    };
    const auto mesh = ends.ports[static_cast<std::size_t>(rank)]->connect(options, deadline);
    ASSERT_FALSE(mesh);
    EXPECT_EQ(mesh.error().code, Code::kDeadlineExceeded);
    if (rank == 0) {
      EXPECT_THAT(mesh.error().message, HasSubstr("the caller is of membership 2, this worker of 1"));
    }
  });
  EXPECT_THAT(lines, testing::Contains(HasSubstr("was refused: the caller is of membership")));
}

TEST_P(MeshRendezvous, APredecessorThatGaveUpAndComesAgainIsTaken) {
  TcpEnds ends = listen_ends(2, GetParam());
  {
    // As rank 0 does when rank 1 is configured long after it.
    PendingConnection gone = call(ends.ports[1]->port(), {.link = ends.link(0), .encrypt = GetParam()});
    gone.step();
  }
  const Deadline deadline = deadline_after(std::chrono::seconds(10));
  on_all_ranks(2, [&](int rank) {
    auto mesh = ends.ports[static_cast<std::size_t>(rank)]->connect(ends.options(rank), deadline);
    ASSERT_TRUE(mesh) << mesh.error().message;
    MeshCollective group(*std::move(mesh), Topology::kRing);
    EXPECT_TRUE(group.barrier(deadline));
    group.leave({});
  });
}

TEST_P(MeshRendezvous, APredecessorThatWentAfterItsWelcomeMayComeAgain) {
  TcpEnds ends = listen_ends(2, GetParam());
  const int port = ends.ports[1]->port();
  const Words words{.link = ends.link(0), .encrypt = GetParam()};
  std::jthread rank1([&] { EXPECT_FALSE(ends.ports[1]->connect(ends.options(1), soon())); });
  {
    PendingConnection first = call(port, words);
    ASSERT_EQ(finish(first), PendingConnection::State::kProven);
    PendingConnection twin = call(port, words);
    EXPECT_EQ(finish(twin), PendingConnection::State::kRefusedByPeer);
    EXPECT_EQ(twin.refusal(), Refusal::kTaken);
  }
  PendingConnection again = call(port, words);
  EXPECT_EQ(finish(again), PendingConnection::State::kProven);
  ends.ports[1]->abort();
}

TEST_P(MeshRendezvous, WaitsForRanksThatStartLater) {
  TcpEnds ends = listen_ends(2, GetParam());
  const int port = ends.ports[1]->port();
  ends.ports[1].reset();          // nobody listens there yet: connections are refused
  std::unique_ptr<Mesh> of_late;  // neither goes before the other is complete
  std::jthread late([&] {
    std::this_thread::sleep_for(milliseconds(100));  // the lateness itself is the subject
    ends.ports[1] = *MeshPort::listen("127.0.0.1", port);
    auto connected = ends.ports[1]->connect(ends.options(1), soon());
    EXPECT_TRUE(connected);
    if (connected) of_late = *std::move(connected);
  });
  const auto first = ends.ports[0]->connect(ends.options(0), soon());
  EXPECT_TRUE(first);
  late.join();
}

TEST_P(MeshRendezvous, NamesTheRankThatIsMissing) {
  TcpEnds ends = listen_ends(2, GetParam());
  ends.ports[1].reset();
  const auto mesh = ends.ports[0]->connect(ends.options(0), deadline_after(milliseconds(100)));
  ASSERT_FALSE(mesh);
  EXPECT_EQ(mesh.error().code, Code::kDeadlineExceeded);
  EXPECT_THAT(mesh.error().message, HasSubstr(fmt::format("successor rank 1 ({}): ", ends.peers[1])));
  EXPECT_THAT(mesh.error().message, HasSubstr("Connection refused"));
}

TEST_P(MeshRendezvous, APortInUseIsNamed) {
  auto first = MeshPort::listen("127.0.0.1", 0);
  const auto second = MeshPort::listen("127.0.0.1", (*first)->port());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kAlreadyExists);
  EXPECT_THAT(second.error().message, HasSubstr(fmt::format("127.0.0.1:{}", (*first)->port())));
}

TEST_P(MeshRendezvous, AnAbortEndsIt) {
  TcpEnds ends = listen_ends(2, GetParam());
  std::jthread aborter([&] { ends.ports[0]->abort(); });
  EXPECT_EQ(ends.ports[0]->connect(ends.options(0), soon()).error().code, Code::kAborted);
}

}  // namespace
}  // namespace muster::worker::test
