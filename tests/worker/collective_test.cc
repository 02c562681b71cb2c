// tests/worker/collective_test.cc: the contract of Collective, on every implementation and size of group
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <thread>

#include "common/base/random.h"
#include "tests/worker/mesh_support.h"
#include "worker/collective/candidates.h"
#include "worker/collective/mesh_collective.h"

namespace muster::worker::test {
namespace {

enum class Backend { kModel, kPlain, kMemory, kTls };
constexpr std::chrono::seconds kPatience{30};
using Param = std::tuple<Backend, Topology, int>;

// Of equal numbers the bits may differ.
std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits(values.size());
  std::ranges::transform(values, bits.begin(),
                         [](float value) { return std::bit_cast<std::uint32_t>(value); });
  return bits;
}

class CollectiveContract : public testing::TestWithParam<Param> {
 protected:
  void SetUp() override {
    const std::uint64_t seed =
        testing::UnitTest::GetInstance()->random_seed() == 0
            ? 1
            : static_cast<std::uint64_t>(testing::UnitTest::GetInstance()->random_seed());
    RecordProperty("seed", std::to_string(seed));
    size_ = std::get<2>(GetParam());
    topology_ = std::get<1>(GetParam());
    if (size_ == 1) {
      group_ = collectives({});
    } else {
      const Backend backend = std::get<0>(GetParam());
      group_ = collectives(
          backend == Backend::kModel
              ? memory_mesh(size_, seed)
              : tcp_mesh(size_, backend == Backend::kTls
                                    ? Wires::kTls
                                    : (backend == Backend::kMemory ? Wires::kMemory : Wires::kPlain)),
          topology_);
    }
    ASSERT_EQ(group_.size(), static_cast<std::size_t>(size_));
  }
  Collective& at(int rank) { return *group_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] std::vector<std::size_t> lengths() const {
    const auto n = static_cast<std::size_t>(size_);
    std::vector<std::size_t> lengths{0, 1, n - 1, n, n + 1, 101, 4099};
    // Past the size up to which two ranks exchange whole buffers, and past several segments.
    if (std::get<0>(GetParam()) != Backend::kModel) lengths.insert(lengths.end(), {65'537, 300'007});
    return lengths;
  }

  int size_ = 0;
  Topology topology_ = Topology::kRing;
  std::vector<std::unique_ptr<Collective>> group_;
};

TEST_P(CollectiveContract, SumsIntegersExactlyOnEveryRankAtEveryLength) {
  for (const std::size_t length : lengths()) {
    on_all_ranks(size_, [&](int rank) {
      std::vector<float> buffer(length);
      for (std::size_t i = 0; i < length; ++i)
        buffer[i] = static_cast<float>((static_cast<int>(i % 1000) + 1) * (rank + 1));
      const Status status = at(rank).all_reduce_sum(buffer, Traffic::kPayload, soon());
      ASSERT_TRUE(status) << status.error().message;
      const int factor = size_ * (size_ + 1) / 2;
      for (std::size_t i = 0; i < length; ++i)
        ASSERT_EQ(buffer[i], static_cast<float>((static_cast<int>(i % 1000) + 1) * factor))
            << "element " << i;
    });
  }
}

TEST_P(CollectiveContract, GivesAllRanksTheSameBitsAndTheSameBitsAgain) {
  constexpr std::size_t kLength = 10'007;
  const auto run = [&] {
    std::vector<std::vector<float>> results(static_cast<std::size_t>(size_));
    on_all_ranks(size_, [&](int rank) {
      Random random(hash_key(5, rank));
      std::vector<float> buffer(kLength);
      for (float& value : buffer) value = static_cast<float>(random.normal());
      ASSERT_TRUE(at(rank).all_reduce_sum(buffer, Traffic::kPayload, soon()));
      results[static_cast<std::size_t>(rank)] = std::move(buffer);
    });
    return results;
  };
  const auto first = run();
  const auto second = run();
  for (const auto& result : first) EXPECT_EQ(bits(result), bits(first[0]));
  for (const auto& result : second) EXPECT_EQ(bits(result), bits(first[0]));
}

TEST_P(CollectiveContract, CountsPayloadByTheFormulaAndControlApart) {
  for (const std::size_t length : lengths()) {
    on_all_ranks(size_, [&](int rank) {
      const TrafficBytes before = at(rank).bytes_sent();
      std::vector<float> buffer(length + 2, 1.0F);
      ASSERT_TRUE(at(rank).all_reduce_sum(buffer, Traffic::kPayload, soon(), 2));
      const TrafficBytes payload = at(rank).bytes_sent();
      const std::uint64_t sent = payload.payload - before.payload;
      EXPECT_EQ(sent, at(rank).all_reduce_bytes(length));
      if (topology_ == Topology::kRing) {
        EXPECT_EQ(sent, ring_bytes(length, size_, rank));
      }
      EXPECT_EQ(buffer.back(), static_cast<float>(size_)) << "what rides behind";
      // A header to each peer, and the riders.
      EXPECT_LE(payload.control - before.control, (24U + 16U) * static_cast<unsigned>(size_));
      ASSERT_TRUE(at(rank).all_reduce_sum(buffer, Traffic::kControl, soon()));
      ASSERT_TRUE(at(rank).broadcast(std::as_writable_bytes(std::span(buffer)), 0, soon()));
      ASSERT_TRUE(at(rank).barrier(soon()));
      EXPECT_EQ(at(rank).bytes_sent().payload, payload.payload);
      if (size_ > 1) {
        EXPECT_GT(at(rank).bytes_sent().control, payload.control);
      }
    });
  }
}

TEST_P(CollectiveContract, BroadcastsTheRootsBytesFromEveryRoot) {
  for (int root = 0; root < size_; ++root) {
    for (const std::size_t length : {0UL, 1UL, 3UL, 4099UL}) {
      on_all_ranks(size_, [&](int rank) {
        std::vector<std::byte> buffer(length, static_cast<std::byte>(rank));
        const Status status = at(rank).broadcast(buffer, root, soon());
        ASSERT_TRUE(status) << status.error().message;
        EXPECT_EQ(buffer, std::vector<std::byte>(length, static_cast<std::byte>(root)));
      });
    }
  }
}

TEST_P(CollectiveContract, ABarrierEndsAfterAllHaveBegun) {
  std::atomic<int> begun = 0;
  for (int round = 1; round <= 5; ++round) {
    on_all_ranks(size_, [&](int rank) {
      ++begun;
      ASSERT_TRUE(at(rank).barrier(soon()));
      EXPECT_EQ(begun, size_ * round);
    });
  }
}

TEST_P(CollectiveContract, AnAbortEndsTheCallUnderWayAndEveryLaterOne) {
  // Rank 0 calls alone, so it can only end by the abort.
  std::jthread aborter([&] { at(0).abort(); });
  std::vector<float> buffer(1000, 1.0F);
  Status status;
  while (status) status = at(0).all_reduce_sum(buffer, Traffic::kPayload, soon());
  EXPECT_EQ(status.error().code, Code::kAborted);
  EXPECT_EQ(at(0).barrier(soon()).error().code, Code::kAborted);
}

TEST_P(CollectiveContract, SaysHowSumsGo) {
  on_all_ranks(size_, [&](int rank) {
    const auto settled = at(rank).settle(100, "Tree", kPatience);
    ASSERT_TRUE(settled);
    EXPECT_EQ(settled->topology, size_ == 1 ? "" : name_of(topology_));
    EXPECT_FALSE(settled->picked);
  });
}

// Sums go on as before, by the one that all ranks have found.
TEST(OpenTopology, AllRanksPickTheSameOneByMeasuringOrTakeWhatIsKnown) {
  for (int size = 2; size <= 5; ++size) {
    for (const std::size_t elements : {std::size_t{0}, std::size_t{5}, std::size_t{40'000}}) {
      const auto group = collectives(tcp_mesh(size, Wires::kPlain), std::nullopt);
      std::vector<Settled> settled(group.size());
      on_all_ranks(size, [&](int rank) {
        const auto index = static_cast<std::size_t>(rank);
        auto mine = group[index]->settle(elements, "", kPatience);
        ASSERT_TRUE(mine) << mine.error().message;
        settled[index] = *mine;
        EXPECT_EQ(group[index]->bytes_sent().payload, 0U) << "measuring is no payload";
        std::vector<float> ones(elements + 1, 1.0F);
        ASSERT_TRUE(group[index]->all_reduce_sum(ones, Traffic::kPayload, soon()));
        EXPECT_THAT(ones, testing::Each(static_cast<float>(size)));
        EXPECT_EQ(group[index]->bytes_sent().payload, group[index]->all_reduce_bytes(elements + 1));
      });
      for (const Settled& each : settled) {
        EXPECT_TRUE(each.picked);
        EXPECT_TRUE(topology_named(each.topology));
        EXPECT_EQ(each.topology, settled[0].topology);
      }
    }
    const auto group = collectives(tcp_mesh(size, Wires::kPlain), std::nullopt);
    on_all_ranks(size, [&](int rank) {
      const auto known = group[static_cast<std::size_t>(rank)]->settle(7, "HalvingDoubling", kPatience);
      ASSERT_TRUE(known);
      EXPECT_EQ(known->topology, "HalvingDoubling");
      EXPECT_EQ(group[static_cast<std::size_t>(rank)]->bytes_sent().control, 0U) << "nothing is measured";
    });
  }
}

TEST(OpenTopology, WhatCannotBeFastestIsNotTimed) {
  const std::size_t large = 1'000'000;
  const auto has = [](const std::vector<Topology>& all, Topology one) {
    return std::ranges::count(all, one) == 1;
  };
  EXPECT_EQ(candidates_for(2, large).size(), kTopologies.size());
  EXPECT_TRUE(has(candidates_for(9, 100), Topology::kAllToAll));
  EXPECT_TRUE(has(candidates_for(4, large), Topology::kAllToAll));
  EXPECT_FALSE(has(candidates_for(5, large), Topology::kAllToAll)) << "sends 2.5 times as much";
  EXPECT_TRUE(has(candidates_for(9, large), Topology::kDirect));
  EXPECT_FALSE(has(candidates_for(65, 100), Topology::kDirect)) << "4,160 connections";
  EXPECT_TRUE(has(candidates_for(65, 100), Topology::kTree));
  const std::vector<Topology> three{Topology::kRing, Topology::kTree, Topology::kDirect};
  EXPECT_EQ(in_reach(three, std::vector<float>{1, 3, 1.9F}),
            (std::vector{Topology::kRing, Topology::kDirect}));
  EXPECT_EQ(timing_rounds(std::vector<float>{0.02F, 0.02F}, 2), 5) << "0.02 s a round";
  EXPECT_EQ(timing_rounds(std::vector<float>{9}, 2), 1);
  EXPECT_EQ(timing_rounds(std::vector<float>{0}, 2), 20);
}

std::string case_name(const testing::TestParamInfo<Param>& info) {
  constexpr const char* kNames[] = {"Model", "Tcp", "Memory", "Tls"};
  const auto& [backend, topology, size] = info.param;
  return fmt::format("{}{}{}", kNames[static_cast<int>(backend)], name_of(topology), size);
}
INSTANTIATE_TEST_SUITE_P(Alone, CollectiveContract,
                         testing::Combine(testing::Values(Backend::kModel), testing::Values(Topology::kRing),
                                          testing::Values(1)),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Meshes, CollectiveContract,
                         testing::Combine(testing::Values(Backend::kModel, Backend::kPlain, Backend::kMemory),
                                          testing::ValuesIn(kTopologies), testing::Range(2, 10)),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Encrypted, CollectiveContract,
                         testing::Combine(testing::Values(Backend::kTls), testing::ValuesIn(kTopologies),
                                          testing::Values(2, 5)),
                         case_name);

}  // namespace
}  // namespace muster::worker::test
