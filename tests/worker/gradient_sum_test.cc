// tests/worker/gradient_sum_test.cc: what each way of summing gradients gives, and what it sends
#include "worker/parallel/gradient_sum.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "common/base/random.h"
#include "common/codec/make_codec.h"
#include "common/codec/wire_size.h"
#include "tests/worker/mesh_support.h"

namespace muster::worker::test {
namespace {

constexpr std::size_t kRiders = 2;

struct Way {
  const char* name;
  spec::Compression compression;
  double error;  // of a value of a sum of five; of coarse ways only that it is no garbage
};

const Way kWays[] = {
    {"Dense", {}, 1e-6},
    {"Float16", {.quantization_bits = 16}, 0.01},
    {"BFloat16", {.quantization_bits = 16, .format = "BFloat16"}, 0.1},
    {"Int8", {.quantization_bits = 8}, 0.2},
    {"Int4", {.quantization_bits = 4}, 4},
    {"E3M0", {.quantization_bits = 4, .format = "E3M0"}, 40},
    {"Int2", {.quantization_bits = 2}, 100},
    {"Sign", {.quantization_bits = 1}, 100},
    {"TopK", {.top_k_fraction = 0.05}, 100},
    {"TopKInt8", {.quantization_bits = 8, .top_k_fraction = 0.05}, 100},
    {"Pruned", {.prune_below = 0.5}, 100},
    {"LowRank", {.low_rank = 2}, 100},
};

class Ways : public testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(GradientSum, Ways, testing::ValuesIn(kWays),
                         [](const auto& way) { return way.param.name; });

// The gradient of one layer of 64 x 40, and its bias.
const std::vector<learning::Tensor> kTensors{{"weight", {64, 40}, 0, 2560}, {"bias", {64}, 2560, 64}};
constexpr std::size_t kElements = 2624;

std::vector<float> gradient_of(int rank, std::int64_t step) {
  Random random(hash_key(7, rank, step));
  std::vector<float> values(kElements + kRiders);
  for (float& value : values) value = static_cast<float>(random.normal());
  values[kElements] = static_cast<float>(rank + 1);
  values[kElements + 1] = rank == 1 ? 1.0F : 0.0F;
  return values;
}

struct Summed {
  std::vector<float> values;
  std::uint64_t expected = 0;
  std::uint64_t payload = 0;
  std::int64_t dense_buckets = 0;
};

class Group {
 public:
  Group(const spec::Compression& compression, int size, std::span<const learning::Tensor> tensors = kTensors,
        std::size_t bucket_elements = 1024)
      : meshes_(
            collectives(memory_mesh(size, 5), compression.by_codec() ? Topology::kDirect : Topology::kRing)) {
    for (auto& collective : meshes_) {
      auto sum = make_gradient_sum(compression, *collective, tensors,
                                   {.bucket_elements = bucket_elements, .seed = 3});
      EXPECT_TRUE(sum) << sum.error().message;
      sums_.push_back(*std::move(sum));
    }
  }
  [[nodiscard]] int size() const { return static_cast<int>(meshes_.size()); }

  std::vector<Summed> sum(
      std::int64_t step, bool dense,
      const std::function<std::vector<float>(int, std::int64_t)>& gradient = gradient_of) {
    std::vector<Summed> results(meshes_.size());
    on_all_ranks(size(), [&](int rank) {
      const auto index = static_cast<std::size_t>(rank);
      Summed& result = results[index];
      result.values = gradient(rank, step);
      const std::uint64_t before = meshes_[index]->bytes_sent().payload;
      const auto expected = sums_[index]->sum(result.values, kRiders, step, dense);
      ASSERT_TRUE(expected) << expected.error().message;
      result.expected = expected->payload_bytes;
      result.dense_buckets = expected->dense_buckets;
      result.payload = meshes_[index]->bytes_sent().payload - before;
    });
    return results;
  }

 private:
  std::vector<std::unique_ptr<Collective>> meshes_;
  std::vector<std::unique_ptr<GradientSum>> sums_;
};

std::vector<double> true_sum(int size, std::int64_t step) {
  std::vector<double> sum(kElements + kRiders);
  for (int rank = 0; rank < size; ++rank) {
    const auto values = gradient_of(rank, step);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
  }
  return sum;
}

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  bits.reserve(values.size());
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

TEST_P(Ways, AllRanksGetTheSameBitsAndCountWhatTheFormulaSays) {
  for (int size = 2; size <= 5; ++size) {
    Group group(GetParam().compression, size);
    for (std::int64_t step = 0; step < 3; ++step) {
      const auto results = group.sum(step, false);
      const auto sum = true_sum(size, step);
      for (const Summed& result : results) {
        EXPECT_EQ(bits(result.values), bits(results[0].values)) << size << " ranks, step " << step;
        EXPECT_EQ(result.payload, result.expected) << size << " ranks, step " << step;
        EXPECT_EQ(result.values[kElements], static_cast<float>(sum[kElements])) << "what rides behind";
        EXPECT_EQ(result.values[kElements + 1], 1.0F);
      }
      for (std::size_t i = 0; i < kElements; ++i)
        ASSERT_NEAR(results[0].values[i], sum[i], GetParam().error) << size << " ranks, value " << i;
    }
  }
}

TEST_P(Ways, WhatIsLeftOutOfAStepComesWithALaterOneOrWithADenseOne) {
  constexpr int kSize = 3;
  constexpr std::int64_t kSteps = 8;
  Group group(GetParam().compression, kSize);
  std::vector<double> sent(kElements);
  std::vector<double> expected(kElements);
  for (std::int64_t step = 0; step <= kSteps; ++step) {
    const auto results = group.sum(step, step == kSteps);
    const auto sum = true_sum(kSize, step);
    for (std::size_t i = 0; i < kElements; ++i) {
      sent[i] += results[0].values[i];
      expected[i] += sum[i];
    }
  }
  for (std::size_t i = 0; i < kElements; ++i) ASSERT_NEAR(sent[i], expected[i], 0.01) << "value " << i;
}

TEST_P(Ways, ANumberThatIsNoneReachesAllRanks) {
  Group group(GetParam().compression, 3);
  const auto results = group.sum(0, false, [](int rank, std::int64_t step) {
    auto values = gradient_of(rank, step);
    if (rank == 2) values[100] = std::numeric_limits<float>::quiet_NaN();
    return values;
  });
  for (const Summed& result : results) {
    EXPECT_TRUE(std::ranges::any_of(result.values, [](float value) { return std::isnan(value); }));
    EXPECT_EQ(bits(result.values), bits(results[0].values));
  }
}

TEST(GradientSum, FramesOfAFixedSizeTakeTheFormulasBytes) {
  for (const int width : {16, 8, 4, 2, 1}) {
    for (int size = 2; size <= 5; ++size) {
      Group group({.quantization_bits = width}, size, kTensors, 1 << 20);
      const auto results = group.sum(0, false);
      const codec::Format format = width == 16  ? codec::Format::kFloat16
                                   : width == 8 ? codec::Format::kInt8
                                   : width == 4 ? codec::Format::kInt4
                                   : width == 2 ? codec::Format::kInt2
                                                : codec::Format::kSign;
      const auto codec = codec::make_codec({.format = format});
      for (int rank = 0; rank < size; ++rank)
        EXPECT_EQ(results[static_cast<std::size_t>(rank)].payload,
                  codec::all_reduce_bytes(**codec, kElements, rank, size))
            << width << " bits, rank " << rank << " of " << size;
    }
  }
}

// What it gets may change while it is summed: the one that sums never looks there.
TEST(GradientSum, ACopyIsSummedInPlaceOfMemoryThatOthersWriteTo) {
  struct Inner final : GradientSum {
    explicit Inner(std::span<float> memory) : others(memory) {}
    Result<SyncCost> sum(std::span<float> gradient, std::size_t riders, std::int64_t /*step*/,
                         bool dense) override {
      std::ranges::fill(others, std::numeric_limits<float>::quiet_NaN());  // meanwhile
      for (float& value : gradient) value *= 2;
      return SyncCost{.payload_bytes = riders, .dense_buckets = dense ? 1 : 0};
    }
    std::span<float> others;
  };
  std::vector<float> shared{1, 2, 3};
  const auto sum = copying_sum(std::make_unique<Inner>(shared));
  const auto cost = sum->sum(shared, 2, 7, true);
  ASSERT_TRUE(cost);
  EXPECT_EQ(cost->payload_bytes, 2U);
  EXPECT_EQ(cost->dense_buckets, 1);
  EXPECT_THAT(shared, testing::ElementsAre(2, 4, 6));
}

TEST(GradientSum, WhatWouldGrowGoesDense) {
  const std::vector<learning::Tensor> tensors{{"bias", {1}, 0, 1}};
  Group group({.quantization_bits = 8}, 2, tensors);
  const auto one = [](int rank, std::int64_t /*step*/) {
    return std::vector<float>{static_cast<float>(rank) + 0.3F, 0, 0};
  };
  for (const Summed& result : group.sum(0, false, one)) {
    EXPECT_FLOAT_EQ(result.values[0], 1.6F);
    EXPECT_EQ(result.payload, sizeof(float)) << "a scale alone is as long";
    EXPECT_EQ(result.dense_buckets, 1);
  }
}

}  // namespace
}  // namespace muster::worker::test
