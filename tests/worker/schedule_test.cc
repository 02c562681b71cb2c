// tests/worker/schedule_test.cc: the plans alone: against their formulas, and carried out element by element
// in any order that they allow
#include "worker/collective/schedule.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "common/base/random.h"
#include "worker/collective/mesh_collective.h"
#include "worker/collective/reduce.h"

namespace muster::worker {
namespace {

using Kind = Move::Kind;
using Schedules = std::vector<Schedule>;  // by rank

std::vector<std::size_t> lengths(int ranks) {
  const auto n = static_cast<std::size_t>(ranks);
  std::set<std::size_t> lengths{0, 1, n - 1, n, n + 1, 2 * n - 1, 13, 31};
  return {lengths.begin(), lengths.end()};
}

Schedules all_reduce(Topology topology, int ranks, Extent extent) {
  Schedules schedules;
  for (int rank = 0; rank < ranks; ++rank)
    schedules.push_back(all_reduce_schedule(topology, rank, ranks, extent));
  return schedules;
}

// What a rank does to another must be what the other expects, in the same order.
void expect_that_moves_meet(const Schedules& schedules, const std::string& which) {
  std::map<std::pair<int, int>, std::vector<Chunk>> sent;
  std::map<std::pair<int, int>, std::vector<Chunk>> received;
  for (int rank = 0; rank < std::ssize(schedules); ++rank) {
    for (const Move& move : schedules[static_cast<std::size_t>(rank)].moves) {
      if (move.kind == Kind::kSend) sent[{rank, move.peer}].push_back(move.chunk);
      if (move.kind != Kind::kSend) received[{move.peer, rank}].push_back(move.chunk);
    }
  }
  EXPECT_EQ(sent, received) << which;
}

// Ranks that carry out their schedules, an element at a time, in an order that a seed chooses.
class World {
 public:
  World(const Schedules& schedules, std::size_t elements, std::uint64_t seed)
      : schedules_(schedules), random_(seed) {
    for (std::size_t rank = 0; rank < schedules.size(); ++rank) {
      Random values(hash_key(3, rank));
      auto& data = data_.emplace_back(elements);
      for (float& value : data) value = static_cast<float>(values.normal());
      scratch_.emplace_back(elements, 0.0F);
      done_.emplace_back(schedules[rank].moves.size(), 0);
    }
  }

  // False: the moves wait for each other.
  bool run() {
    while (true) {
      std::vector<std::pair<std::size_t, std::size_t>> ready;  // rank, move
      bool finished = true;
      for (std::size_t rank = 0; rank < schedules_.size(); ++rank) {
        std::set<std::pair<int, bool>> busy;
        for (std::size_t i = 0; i < schedules_[rank].moves.size(); ++i) {
          const Move& move = schedules_[rank].moves[i];
          if (done_[rank][i] == move.chunk.size) continue;
          finished = false;
          if (!busy.emplace(move.peer, move.kind == Kind::kSend).second) continue;
          if (may_go_on(rank, i)) ready.emplace_back(rank, i);
        }
      }
      if (finished) return true;
      if (ready.empty()) return false;
      const auto [rank, move] = ready[random_.below(ready.size())];
      go_on(rank, move);
    }
  }
  [[nodiscard]] const std::vector<float>& data(std::size_t rank) const { return data_[rank]; }

 private:
  static constexpr std::size_t kPipe = 3;  // elements between two ranks, so that senders meet a full one

  std::deque<float>& pipe(std::size_t from, std::size_t to) { return pipes_[{from, to}]; }

  bool may_go_on(std::size_t rank, std::size_t i) {
    const Move& move = schedules_[rank].moves[i];
    const std::size_t at = move.chunk.begin + done_[rank][i];
    for (const int before : move.after) {
      if (before < 0) continue;
      const Move& other = schedules_[rank].moves[static_cast<std::size_t>(before)];
      const std::size_t done = done_[rank][static_cast<std::size_t>(before)];
      if (done < other.chunk.size && at >= other.chunk.begin + done) return false;
    }
    const auto peer = static_cast<std::size_t>(move.peer);
    return move.kind == Kind::kSend ? pipe(rank, peer).size() < kPipe : !pipe(peer, rank).empty();
  }

  void go_on(std::size_t rank, std::size_t i) {
    const Move& move = schedules_[rank].moves[i];
    float& place = (move.scratch ? scratch_ : data_)[rank][move.chunk.begin + done_[rank][i]++];
    const auto peer = static_cast<std::size_t>(move.peer);
    if (move.kind == Kind::kSend) {
      pipe(rank, peer).push_back(place);
      return;
    }
    const float value = pipe(peer, rank).front();
    pipe(peer, rank).pop_front();
    place = move.kind == Kind::kReduce ? place + value : value;
  }

  const Schedules& schedules_;
  Random random_;
  std::vector<std::vector<float>> data_;
  std::vector<std::vector<float>> scratch_;
  std::vector<std::vector<std::size_t>> done_;
  std::map<std::pair<std::size_t, std::size_t>, std::deque<float>> pipes_;
};

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  bits.reserve(values.size());
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

void for_each_plan(const std::function<void(Topology, int, Extent, const std::string&)>& body) {
  for (const Topology topology : kTopologies)
    for (int ranks = 2; ranks <= 9; ++ranks)
      for (const std::size_t elements : lengths(ranks))
        for (const std::size_t riders : {0UL, 2UL})
          body(topology, ranks, {.elements = elements, .riders = riders},
               fmt::format("{} of {} ranks, {} elements, {} riders", name_of(topology), ranks, elements,
                           riders));
}

TEST(Schedule, WhatARankSendsIsWhatTheOtherExpects) {
  for_each_plan([](Topology topology, int ranks, Extent extent, const std::string& which) {
    expect_that_moves_meet(all_reduce(topology, ranks, extent), which);
  });
  for (int ranks = 2; ranks <= 9; ++ranks) {
    for (int root = 0; root < ranks; ++root) {
      Schedules chain;
      Schedules tree;
      for (int rank = 0; rank < ranks; ++rank) {
        chain.push_back(chain_broadcast(rank, ranks, root, {.elements = 5}));
        tree.push_back(tree_broadcast(rank, ranks, root, {.elements = 5}));
      }
      expect_that_moves_meet(chain, "chain");
      expect_that_moves_meet(tree, "tree");
    }
  }
}

TEST(Schedule, AnyOrderThatAPlanAllowsEndsAndGivesAllRanksTheSameBits) {
  for_each_plan([](Topology topology, int ranks, Extent extent, const std::string& which) {
    const Schedules schedules = all_reduce(topology, ranks, extent);
    std::vector<std::uint32_t> first;
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      World world(schedules, extent.all(), seed);
      ASSERT_TRUE(world.run()) << which << ", seed " << seed << ": the moves wait for each other";
      if (seed == 1) first = bits(world.data(0));
      for (std::size_t rank = 0; rank < schedules.size(); ++rank)
        ASSERT_EQ(bits(world.data(rank)), first) << which << ", rank " << rank << ", seed " << seed;
    }
    for (std::size_t i = 0; i < extent.all(); ++i) {
      double sum = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        Random values(hash_key(3, rank));
        float value = 0;
        for (std::size_t k = 0; k <= i; ++k) value = static_cast<float>(values.normal());
        sum += value;
      }
      ASSERT_NEAR(std::bit_cast<float>(first[i]), sum, 1e-5) << which << ", element " << i;
    }
  });
}

TEST(Schedule, ABroadcastGivesAllTheRootsValues) {
  for (int ranks = 2; ranks <= 9; ++ranks) {
    for (int root = 0; root < ranks; ++root) {
      for (const auto plan : {chain_broadcast, tree_broadcast}) {
        Schedules schedules;
        for (int rank = 0; rank < ranks; ++rank)
          schedules.push_back(plan(rank, ranks, root, {.elements = 7}));
        World world(schedules, 7, 1);
        ASSERT_TRUE(world.run());
        for (std::size_t rank = 0; rank < schedules.size(); ++rank)
          EXPECT_EQ(bits(world.data(rank)), bits(world.data(static_cast<std::size_t>(root))));
      }
    }
  }
}

TEST(Schedule, AllRanksTogetherSendByTheFormulas) {
  for_each_plan([](Topology topology, int ranks, Extent extent, const std::string& which) {
    std::uint64_t all = 0;
    for (int rank = 0; rank < ranks; ++rank)
      all += payload_elements(all_reduce_schedule(topology, rank, ranks, extent), rank, extent);
    const auto n = static_cast<std::uint64_t>(ranks);
    const std::uint64_t messages = topology == Topology::kAllToAll ? n * (n - 1) : 2 * (n - 1);
    EXPECT_EQ(all, messages * extent.elements) << which;
  });
}

// c[i]: elements of part i; sum of all: S.
TEST(Schedule, ARankSendsByItsFormula) {
  for_each_plan([](Topology topology, int ranks, Extent extent, const std::string& which) {
    const Extent bare{.elements = extent.elements};
    const auto part = [&](int i) { return bare.part((i + 2 * ranks) % ranks, ranks).size; };
    const auto n = static_cast<std::size_t>(ranks);
    const std::size_t s = extent.elements;
    for (int rank = 0; rank < ranks; ++rank) {
      const std::size_t sent =
          payload_elements(all_reduce_schedule(topology, rank, ranks, extent), rank, extent);
      switch (topology) {
        case Topology::kRing: EXPECT_EQ(sent, 2 * s - part(rank + 1) - part(rank + 2)) << which; break;
        case Topology::kDirect: EXPECT_EQ(sent, s + (n - 2) * part(rank)) << which; break;
        case Topology::kAllToAll: EXPECT_EQ(sent, (n - 1) * s) << which; break;
        case Topology::kTree: EXPECT_LE(sent, s * 2 * std::bit_width(n)) << which; break;
        case Topology::kHalvingDoubling:
          if (std::has_single_bit(n)) {
            // Each of the 2 log2(n) steps sends a half, a quarter, ... of the vector, as whole parts.
            EXPECT_NEAR(static_cast<double>(sent),
                        2.0 * static_cast<double>(s) * static_cast<double>(n - 1) / static_cast<double>(n),
                        static_cast<double>(n))
                << which;
            if (s % n == 0) {
              EXPECT_EQ(sent, 2 * s / n * (n - 1)) << which;
            }
          } else {
            EXPECT_LE(sent, 3 * s + n) << which;  // parts are rounded up
          }
          break;
      }
    }
  });
}

TEST(Schedule, StepsGrowAsTheFormulasSay) {
  const auto sends = [](Topology topology, int rank, int ranks) {
    int count = 0;
    for (const Move& move : all_reduce_schedule(topology, rank, ranks, {.elements = 1'000'000}).moves)
      count += move.kind == Kind::kSend && move.peer != rank ? 1 : 0;
    return count;
  };
  EXPECT_EQ(sends(Topology::kRing, 3, 8), 14);            // 2 (n - 1)
  EXPECT_EQ(sends(Topology::kHalvingDoubling, 3, 8), 6);  // 2 log2 n
  EXPECT_EQ(sends(Topology::kTree, 0, 8), 3);             // the root: log2 n down
  EXPECT_EQ(sends(Topology::kTree, 7, 8), 1);             // a leaf
  EXPECT_EQ(sends(Topology::kAllToAll, 3, 8), 7);
  EXPECT_EQ(sends(Topology::kDirect, 3, 8), 14);
}

TEST(Extent, PartsTileTheVectorAndDifferByOneAtMost) {
  for (int ranks = 1; ranks <= 9; ++ranks) {
    for (std::size_t elements = 0; elements < 40; ++elements) {
      const Extent extent{.elements = elements, .riders = 2};
      std::size_t next = 0;
      for (int i = 0; i < ranks; ++i) {
        const Chunk part = extent.part(i, ranks);
        const std::size_t riders = i == ranks - 1 ? 2 : 0;
        EXPECT_EQ(part.begin, next);
        EXPECT_GE(part.size, elements / static_cast<std::size_t>(ranks) + riders);
        EXPECT_LE(part.size, elements / static_cast<std::size_t>(ranks) + 1 + riders);
        next += part.size;
      }
      EXPECT_EQ(next, elements + 2);
    }
  }
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
