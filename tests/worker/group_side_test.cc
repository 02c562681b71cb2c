// tests/worker/group_side_test.cc: the collectives of programs with a loop of their own: the C library
// against workers' ends
#include "worker/shell/group_side.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <vector>

#include "tests/worker/fake_program.h"
#include "tests/worker/mesh_support.h"
#include "worker/program/muster_group.h"

namespace muster::worker::test {
namespace {

using program::test::FakeProgram;
using program::test::SocketFolder;
using std::chrono::seconds;

constexpr int kRanks = 3;
constexpr std::size_t kRoom = 256;  // floats

// The program's end, frame by frame: three of the C library's would share one environment.
std::string collect(FakeProgram& program, const program::Collective& asked) {
  program.tell(program::write_collect(asked));
  const auto answer = program.hear();
  if (!answer || answer->kind != program::Kind::kCollected) return "no answer";
  return {reinterpret_cast<const char*>(program.body.data()), program.body.size()};
}

void join(FakeProgram& program) {
  program.tell({.kind = program::Kind::kHello,
                .numbers = {program::kProtocol, static_cast<std::int64_t>(program::Part::kGroup)}},
               program::test::bytes_of("test"));
  ASSERT_EQ(program.hear().value_or(program::Frame{}).kind, program::Kind::kWorld);
  program.tell({.kind = program::Kind::kTensors}, program::write_tensors({{"room", {kRoom}}}));
  const auto told = program.hear();
  ASSERT_EQ(told.value_or(program::Frame{}).kind, program::Kind::kMemory);
  program.count = static_cast<std::size_t>(told->numbers[0]);
  program.gradient_at = static_cast<std::size_t>(told->numbers[1]);
  auto mapped =
      SealedMemory::map(program.channel().take_descriptor(), static_cast<std::size_t>(told->numbers[2]));
  ASSERT_TRUE(mapped) << mapped.error().message;
  program.memory = *std::move(mapped);
  program.tell({.kind = program::Kind::kReady});
}

// `body` is each rank's program, `after` looks at how its worker's side ended.
void with_programs(const std::function<void(int, FakeProgram&)>& body,
                   const std::function<void(int, const Status&, const GroupProgress&)>& after,
                   const spec::Compression& compression = {}) {
  const SocketFolder folder;
  auto group = collectives(memory_mesh(kRanks, 1));
  on_all_ranks(kRanks, [&](int rank) {
    const std::string socket = folder.socket("w" + std::to_string(rank));
    auto link = program::ProgramLink::listen({.path = socket});
    ASSERT_TRUE(link) << link.error().message;
    std::thread thread([&] {
      FakeProgram program(socket);
      join(program);
      body(rank, program);
    });
    const Status met = (*link)->meet(program::World{.rank = rank, .size = kRanks}, soon());
    EXPECT_TRUE(met) << met.error().message;
    EXPECT_EQ((*link)->part(), program::Part::kGroup);
    GroupProgress last;
    auto& mine = *group[static_cast<std::size_t>(rank)];
    const Status served = GroupSide(**link, mine, seconds(20), compression)
                              .serve([] { return false; }, [&](const GroupProgress& shown) { last = shown; });
    if (!served) mine.leave(served);
    link->reset();
    thread.join();
    after(rank, served, last);
  });
}

TEST(GroupSide, DoesWhatProgramsAskForAndCountsByTheFormulas) {
  with_programs(
      [](int rank, FakeProgram& program) {
        const auto room = program.parameters();
        std::ranges::fill(room, static_cast<float>(rank + 1));
        EXPECT_EQ(collect(program, {.kind = program::Collect::kSum, .bytes = 400}), "");
        EXPECT_EQ(room[99], 6);
        EXPECT_EQ(room[100], static_cast<float>(rank + 1));
        room[0] = static_cast<float>(10 * rank);
        EXPECT_EQ(collect(program, {.kind = program::Collect::kGather, .bytes = 4}), "");
        EXPECT_EQ(program.gradient()[2], 20);
        EXPECT_EQ(collect(program, {.kind = program::Collect::kGather, .bytes = 0}), "");
        EXPECT_EQ(collect(program, {.kind = program::Collect::kBroadcast, .bytes = 3, .root = 1}), "");
        EXPECT_EQ(collect(program, {.kind = program::Collect::kBarrier}), "");
        program.tell(program::write_collect({.kind = program::Collect::kDone}));
      },
      [](int rank, const Status& served, const GroupProgress& progress) {
        ASSERT_TRUE(served) << served.error().message;
        EXPECT_EQ(progress.calls, 5);
        EXPECT_EQ(progress.sent.payload, progress.payload_bytes_expected);
        EXPECT_EQ(progress.sent.payload, ring_bytes(100, kRanks, rank) + 2 * 4);
      });
}

// What rounding leaves out of a sum goes with the next one of its number: over many steps the mean is exact.
TEST(GroupSide, SumsThatMayBeCompressedKeepWhatIsLeftOut) {
  constexpr int kSteps = 40;
  std::vector<std::vector<float>> last(kRanks);
  with_programs(
      [&](int rank, FakeProgram& program) {
        const auto room = program.parameters();
        std::vector<double> means(kRoom);
        for (int step = 0; step < kSteps; ++step) {
          for (std::size_t i = 0; i < kRoom; ++i)
            room[i] = std::sin(static_cast<float>(i) + static_cast<float>(rank));
          ASSERT_EQ(
              collect(program, {.kind = program::Collect::kCompressedSum, .bytes = 4 * kRoom, .root = 7}),
              "");
          for (std::size_t i = 0; i < kRoom; ++i) means[i] += room[i] / static_cast<double>(kSteps);
        }
        last[static_cast<std::size_t>(rank)].assign(room.begin(), room.end());
        for (std::size_t i = 0; i < kRoom; ++i) {
          double want = 0;
          for (int peer = 0; peer < kRanks; ++peer)
            want += std::sin(static_cast<float>(i) + static_cast<float>(peer));
          ASSERT_NEAR(means[i], want, 0.05) << i;
        }
        // Of another size it begins anew; another number has a remainder of its own.
        EXPECT_EQ(collect(program, {.kind = program::Collect::kCompressedSum, .bytes = 400, .root = 7}), "");
        EXPECT_EQ(collect(program, {.kind = program::Collect::kCompressedSum, .bytes = 400, .root = 8}), "");
        program.tell(program::write_collect({.kind = program::Collect::kDone}));
      },
      [](int /*rank*/, const Status& served, const GroupProgress& progress) {
        ASSERT_TRUE(served) << served.error().message;
        EXPECT_EQ(progress.compressed_calls, kSteps + 2);
        EXPECT_EQ(progress.sent.payload, progress.payload_bytes_expected);
        EXPECT_LT(progress.sent.payload, kSteps * kRoom * sizeof(float) / 2);
      },
      spec::Compression{.quantization_bits = 4});
  EXPECT_EQ(last[0], last[1]);
  EXPECT_EQ(last[0], last[2]);
}

TEST(GroupSide, ARankThatIsLostEndsTheGroupOfAll) {
  with_programs(
      [](int rank, FakeProgram& program) {
        if (rank == 1) return;  // its program dies
        EXPECT_NE(collect(program, {.kind = program::Collect::kSum, .bytes = 4}), "");
      },
      [](int rank, const Status& served, const GroupProgress& /*progress*/) {
        ASSERT_FALSE(served);
        if (rank == 1) {
          EXPECT_EQ(served.error().code, Code::kInternal);
        }
      });
}

// A rank whose tensor has another shape: an error on all, and no bytes that are none of the data.
TEST(GroupSide, SizesThatDifferAreAnErrorOnEveryRank) {
  for (const auto kind : {program::Collect::kGather, program::Collect::kSum}) {
    for (const std::int64_t other : {8, 40, 0}) {
      if (other == 0 && kind == program::Collect::kSum) continue;  // of nothing: no rank waits for it
      SCOPED_TRACE(other);
      with_programs(
          [&](int rank, FakeProgram& program) {
            EXPECT_NE(collect(program, {.kind = kind, .bytes = rank == 1 ? other : 16}), "") << rank;
          },
          [](int, const Status& served, const GroupProgress&) { EXPECT_FALSE(served); });
    }
  }
}

TEST(GroupSide, WhatDoesNotFitIsRefused) {
  for (const program::Collective& asked :
       {program::Collective{.kind = program::Collect::kSum, .bytes = 4 * kRoom + 4},
        program::Collective{.kind = program::Collect::kSum, .bytes = 6},
        program::Collective{.kind = program::Collect::kSum, .bytes = -4},
        program::Collective{.kind = program::Collect::kGather, .bytes = 4 * kRoom / 2},
        program::Collective{.kind = program::Collect::kBroadcast, .bytes = 4, .root = kRanks},
        program::Collective{.kind = program::Collect::kCompressedSum, .bytes = 6},
        program::Collective{.kind = program::Collect::kCompressedSum, .bytes = 4, .root = kSumsMax},
        program::Collective{.kind = static_cast<program::Collect>(77), .bytes = 4}}) {
    with_programs([&](int, FakeProgram& program) { EXPECT_NE(collect(program, asked), ""); },
                  [](int, const Status& served, const GroupProgress&) {
                    ASSERT_FALSE(served);
                    EXPECT_EQ(served.error().code, Code::kInvalidArgument) << served.error().message;
                  });
  }
}

TEST(MusterGroupAbi, AloneIsAGroupOfOne) {
  ::unsetenv("MUSTER_SOCKET");
  muster_job* wrong = muster_open_group(3);
  EXPECT_STRNE(muster_last_error(wrong), "");
  muster_close(wrong);
  muster_job* job = muster_open_group(1 << 16);
  ASSERT_STREQ(muster_last_error(job), "");
  muster_parameters(job, nullptr)[0] = 5;
  EXPECT_EQ(muster_collect(job, MUSTER_SUM, 4, 0), 0);
  EXPECT_EQ(muster_collect(job, MUSTER_GATHER, 4, 0), 0);
  EXPECT_EQ(muster_gradient(job, nullptr)[0], 5);
  EXPECT_EQ(muster_collect(job, MUSTER_BARRIER, 0, 0), 0);
  EXPECT_EQ(muster_collect(job, MUSTER_SUM, (1 << 16) + 4, 0), -1);
  EXPECT_EQ(muster_collect(job, 9, 4, 0), -1);
  EXPECT_EQ(muster_group_done(job), 0);
  muster_close(job);
}

}  // namespace
}  // namespace muster::worker::test
