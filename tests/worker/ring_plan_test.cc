// tests/worker/ring_plan_test.cc: the ring's arithmetic against its formulas (Patarasuk & Yuan 2009)
#include "worker/collective/ring_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "common/base/random.h"
#include "worker/collective/reduce.h"

namespace muster::worker {
namespace {

TEST(RingPlan, ChunksTileTheVectorAndDifferByOneAtMost) {
  for (int ranks = 1; ranks <= 9; ++ranks) {
    for (std::size_t elements = 0; elements < 40; ++elements) {
      const RingPlan plan(elements, ranks);
      std::size_t next = 0;
      for (int i = 0; i < ranks; ++i) {
        EXPECT_EQ(plan.chunk(i).begin, next);
        EXPECT_GE(plan.chunk(i).size, elements / static_cast<std::size_t>(ranks));
        EXPECT_LE(plan.chunk(i).size, elements / static_cast<std::size_t>(ranks) + 1);
        next += plan.chunk(i).size;
      }
      EXPECT_EQ(next, elements);
    }
  }
}

TEST(RingPlan, ARankSendsAtAStepWhatItReceivedAtTheStepBefore) {
  const RingPlan plan(103, 7);
  for (int rank = 0; rank < 7; ++rank) {
    EXPECT_EQ(plan.sent(rank, 0), plan.chunk(rank));
    for (int step = 1; step < plan.steps(); ++step)
      EXPECT_EQ(plan.sent(rank, step), plan.received(rank, step - 1));
  }
}

TEST(RingPlan, BytesSentAreTheSumOfTheStepsAndOverAllRanksTwoSTimesNMinusOne) {
  for (int ranks = 1; ranks <= 9; ++ranks) {
    for (const std::size_t elements : {0UL, 1UL, 5UL, 8UL, 9UL, 10UL, 101UL, 101770UL}) {
      const RingPlan plan(elements, ranks);
      std::uint64_t all = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        std::uint64_t bytes = 0;
        for (int step = 0; step < plan.steps(); ++step) bytes += plan.sent(rank, step).size * sizeof(float);
        EXPECT_EQ(plan.bytes_sent(rank), bytes) << "rank " << rank << " of " << ranks;
        all += bytes;
      }
      EXPECT_EQ(all, 2 * elements * sizeof(float) * static_cast<std::uint64_t>(ranks - 1));
    }
  }
}

TEST(RingPlan, WithEqualChunksARankSendsExactlyTwoSTimesNMinusOneOverN) {
  const RingPlan plan(1000, 4);
  for (int rank = 0; rank < 4; ++rank) EXPECT_EQ(plan.bytes_sent(rank), 2U * 4000U * 3U / 4U);
}

TEST(RingPlan, EveryChunkCollectsEveryRankOnceBeforeItIsGathered) {
  constexpr int kRanks = 5;
  const RingPlan plan(kRanks, kRanks);
  std::vector<std::vector<int>> have(kRanks,
                                     std::vector<int>(kRanks, 1));  // contributions in rank r's chunk c
  for (int step = 0; step < plan.steps(); ++step) {
    auto next = have;
    for (int rank = 0; rank < kRanks; ++rank) {
      const auto chunk = plan.received(rank, step).begin;
      const int theirs = have[static_cast<std::size_t>((rank + kRanks - 1) % kRanks)][chunk];
      auto& mine = next[static_cast<std::size_t>(rank)][chunk];
      mine = step < plan.reduce_steps() ? mine + theirs : theirs;
    }
    have = next;
  }
  for (const auto& rank : have) EXPECT_EQ(rank, std::vector<int>(kRanks, kRanks));
}

TEST(Reduce, EqualsTheScalarLoopBitForBitAtEveryLengthAndAlignment) {
  Random random(7);
  for (std::size_t count = 0; count < 70; ++count) {
    for (std::size_t shift = 0; shift < 4; ++shift) {
      std::vector<float> target(count + shift);
      std::vector<float> source(count + shift);
      for (auto& value : target) value = static_cast<float>(random.normal());
      for (auto& value : source) value = static_cast<float>(random.normal());
      std::vector<float> expected = target;
      for (std::size_t i = shift; i < expected.size(); ++i) expected[i] += source[i];
      add_to(target.data() + shift, source.data() + shift, count);
      EXPECT_EQ(target, expected);
      scale(target.data() + shift, 0.3F, count);
      for (std::size_t i = shift; i < expected.size(); ++i) expected[i] *= 0.3F;
      EXPECT_EQ(target, expected);
    }
  }
}

}  // namespace
}  // namespace muster::worker
