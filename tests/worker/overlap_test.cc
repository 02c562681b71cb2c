// tests/worker/overlap_test.cc: buckets that are summed while the rest of a gradient is computed
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <limits>

#include "common/base/random.h"
#include "tests/worker/mesh_support.h"
#include "tests/worker/no_optimizer.h"
#include "worker/collective/reduce.h"
#include "worker/parallel/bucket_plan.h"
#include "worker/parallel/bucket_runner.h"
#include "worker/parallel/data_parallel.h"
#include "worker/parallel/gradient_sum.h"

namespace muster::worker::test {
namespace {

using Buckets = std::vector<Bucket>;

std::vector<learning::Tensor> tensors_of(const std::vector<std::int64_t>& sizes) {
  std::vector<learning::Tensor> tensors;
  std::int64_t offset = 0;
  for (const std::int64_t size : sizes) {
    tensors.push_back(
        {.name = fmt::format("t{}", tensors.size()), .shape = {size}, .offset = offset, .size = size});
    offset += size;
  }
  return tensors;
}

TEST(BucketPlan, GoesFromTheLastTensorToTheFirstInWholeTensors) {
  const auto plan = [](const std::vector<std::int64_t>& sizes, std::size_t elements, std::size_t least = 0) {
    return plan_buckets(tensors_of(sizes), {.elements = elements, .least = least});
  };
  EXPECT_EQ(plan({5, 4, 3, 2}, 1), (Buckets{{12, 2}, {9, 3}, {5, 4}, {0, 5}}));
  EXPECT_EQ(plan({5, 4, 3, 2}, 5), (Buckets{{9, 5}, {0, 9}}));
  EXPECT_EQ(plan({1, 4, 3, 2}, 5), (Buckets{{5, 5}, {0, 5}})) << "what is left is the last one";
  EXPECT_EQ(plan({1, 9, 0, 0}, 3), (Buckets{{1, 9}, {0, 1}}));
  EXPECT_EQ(plan({5, 4, 3, 2}, 100), (Buckets{{0, 14}}));
  EXPECT_EQ(plan({5, 4, 3, 2}, 1, 15), (Buckets{{0, 14}})) << "a small model";
}

TEST(BucketPlan, OfAnyTensorsIsAllOfTheGradientOnce) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    std::vector<std::int64_t> sizes(1 + random.below(12));
    for (std::int64_t& size : sizes) size = static_cast<std::int64_t>(random.below(50));
    const auto tensors = tensors_of(sizes);
    std::size_t end = static_cast<std::size_t>(tensors.back().offset + tensors.back().size);
    const BucketSizes wanted{.elements = 1 + random.below(60), .least = 0};
    const auto plan = plan_buckets(tensors, wanted);
    for (std::size_t i = 0; i < plan.size(); ++i) {
      EXPECT_EQ(plan[i].first + plan[i].size, end);
      EXPECT_TRUE(i + 1 == plan.size() || plan[i].size >= wanted.elements);
      end = plan[i].first;
    }
    EXPECT_EQ(end, 0U);
  }
}

TEST(BucketRunner, SumsWhatIsFinalInTheOrderOfThePlanAndLeavesTheRest) {
  std::vector<std::size_t> summed;  // by the runner's thread alone, until finish()
  std::atomic<int> count = 0;
  BucketRunner runner({{9, 3}, {5, 4}, {2, 3}, {0, 2}}, [&](std::size_t bucket) {
    summed.push_back(bucket);
    ++count;
    count.notify_all();
    return Status();
  });
  for (int step = 0; step < 3; ++step) {
    summed.clear();
    count = 0;
    runner.begin();
    runner.ready(5, 4);  // not the next one
    runner.ready(9, 2);  // a part of it
    EXPECT_EQ(count, 0);
    runner.ready(11, 1);
    count.wait(0);
    if (count == 1) count.wait(1);  // both
    runner.ready(0, 2);
    const auto next = runner.finish();
    ASSERT_TRUE(next);
    EXPECT_EQ(*next, 2U);
    EXPECT_EQ(summed, (std::vector<std::size_t>{0, 1}));
  }
  runner.begin();
  EXPECT_EQ(runner.finish().value(), 0U) << "nothing was told";
}

TEST(BucketRunner, AFailureEndsIt) {
  BucketRunner runner({{2, 2}, {1, 1}, {0, 1}}, [](std::size_t) { return Status(unavailable("gone")); });
  runner.begin();
  runner.ready(0, 4);
  const auto begun = std::chrono::steady_clock::now();
  Result<std::size_t> next = runner.finish();
  while (next && *next == 0 && std::chrono::steady_clock::now() - begun < std::chrono::seconds(30)) {
    runner.begin();  // it had no time yet
    runner.ready(0, 4);
    next = runner.finish();
  }
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().message, "gone");
}

constexpr std::size_t kSize = 5000;
const Buckets kPlan{{4100, 900}, {2000, 2100}, {1999, 1}, {3, 1996}, {0, 3}};

struct Exchanged {
  Result<StepSums> sums = StepSums{};
  std::vector<float> gradient;
  std::uint64_t payload = 0;
};

std::vector<float> gradient_of(int rank, std::int64_t step) {
  Random random(hash_key(11, rank, step));
  std::vector<float> values(kSize + Synchronizer::kRiders);
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

struct Way {
  const Buckets& plan;
  bool beside = false;
  int idle_rank = -1;  // has no examples
};

// Some steps of `size` ranks; each tells its parts in an order of its own.
std::vector<std::vector<Exchanged>> exchange(int size, Topology topology, const Way& way) {
  auto group = collectives(memory_mesh(size, 3), topology);
  std::vector<std::vector<Exchanged>> results(static_cast<std::size_t>(size));
  on_all_ranks(size, [&](int rank) {
    Collective& collective = *group[static_cast<std::size_t>(rank)];
    NoOptimizer optimizer;
    const auto sum = dense_sum(collective, {.bucket_elements = 1500});
    DataParallel parallel({collective, *sum, optimizer}, std::chrono::seconds(60), way.plan);
    for (std::int64_t step = 0; step < 3; ++step) {
      Exchanged& result = results[static_cast<std::size_t>(rank)].emplace_back();
      const BatchShare share{.mine = rank == way.idle_rank ? 0 : 4 + rank % 2, .all = 40};
      const std::uint64_t before = collective.bytes_sent().payload;
      const auto source = gradient_of(rank, step);
      result.gradient.assign(kSize + Synchronizer::kRiders, 77);
      learning::Model::Ready ready;
      if (way.beside) ready = parallel.expect(result.gradient, share);
      EXPECT_EQ(ready != nullptr, way.beside && way.plan.size() > 1);
      Random random(hash_key(13, rank, step));
      for (std::size_t end = kSize; end > 0 && share.mine > 0;) {
        const std::size_t first = end - std::min<std::size_t>(end, 1 + random.below(600));
        std::copy(source.begin() + static_cast<std::ptrdiff_t>(first),
                  source.begin() + static_cast<std::ptrdiff_t>(end),
                  result.gradient.begin() + static_cast<std::ptrdiff_t>(first));
        if (ready && random.below(20) > 0) ready(first, end - first);  // what is not told is final at the end
        end = first;
      }
      std::vector<float> parameters(kSize);
      result.sums = parallel.exchange(result.gradient, parameters,
                                      {.loss = rank + 0.5,
                                       .stop = step == 2 && rank == 1,
                                       .share = share,
                                       .rows = hash_key(9, rank, step),
                                       .number = step});
      result.payload = collective.bytes_sent().payload - before;
    }
  });
  return results;
}

std::vector<std::uint32_t> bits(std::span<const float> values) {
  std::vector<std::uint32_t> bits;
  bits.reserve(values.size());
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

class Topologies : public testing::TestWithParam<Topology> {};
INSTANTIATE_TEST_SUITE_P(Overlap, Topologies, testing::ValuesIn(kTopologies),
                         [](const auto& topology) { return std::string(name_of(topology.param)); });

TEST_P(Topologies, SumsBesideTheBackwardPassAreTheBitsOfSumsAfterIt) {
  for (const int size : {2, 3, 5}) {
    const auto beside = exchange(size, GetParam(), {.plan = kPlan, .beside = true});
    const auto after = exchange(size, GetParam(), {.plan = kPlan});
    const auto idle = exchange(size, GetParam(), {.plan = kPlan, .beside = true, .idle_rank = 1});
    for (std::size_t step = 0; step < 3; ++step) {
      std::uint64_t rows = 0;
      for (int rank = 0; rank < size; ++rank) rows += hash_key(9, rank, step);
      for (std::size_t rank = 0; rank < static_cast<std::size_t>(size); ++rank) {
        SCOPED_TRACE(fmt::format("{} ranks, rank {}, step {}", size, rank, step));
        const Exchanged& result = beside[rank][step];
        ASSERT_TRUE(result.sums) << result.sums.error().message;
        ASSERT_TRUE(idle[rank][step].sums) << idle[rank][step].sums.error().message;
        const auto values = [](const Exchanged& of) { return std::span(of.gradient).first(kSize); };
        EXPECT_EQ(bits(values(result)), bits(values(after[0][step])));
        EXPECT_EQ(bits(values(idle[rank][step])), bits(values(idle[0][step])));
        EXPECT_EQ(result.payload, result.sums->cost.payload_bytes) << "the formula, bucket by bucket";
        EXPECT_EQ(result.payload, after[rank][step].payload);
        EXPECT_EQ(result.sums->rows, rows);
        EXPECT_EQ(result.sums->stop, step == 2);
        EXPECT_EQ(result.sums->loss, after[0][step].sums->loss);
        EXPECT_EQ(result.sums->not_finite, 0);
      }
    }
  }
}

TEST(Overlap, BucketsSendAsManyBytesAsOneInAll) {
  for (const int size : {2, 3, 4}) {
    std::uint64_t sent = 0;
    for (const auto& rank : exchange(size, Topology::kRing, {.plan = kPlan, .beside = true}))
      sent += rank[0].payload;
    EXPECT_EQ(sent, 2U * kSize * sizeof(float) * static_cast<unsigned>(size - 1)) << "2k(n-1)";
  }
}

TEST(Overlap, TheMeansAreThoseOfTheExamples) {
  const auto results = exchange(3, Topology::kRing, {.plan = kPlan, .beside = true});
  for (std::size_t i = 0; i < kSize; i += 7) {
    double mean = 0;
    for (int rank = 0; rank < 3; ++rank)
      mean += (4 + rank % 2) / 40.0 * static_cast<double>(gradient_of(rank, 0)[i]);
    EXPECT_NEAR(results[0][0].gradient[i], mean, 1e-6);
  }
}

// The mesh breaks while the gradient is computed: the step ends with that error, whichever bucket was on its
// way, and nobody waits.
TEST(Overlap, ARankThatIsLostMeanwhileEndsTheStep) {
  auto group = collectives(memory_mesh(3, 3));
  on_all_ranks(3, [&](int rank) {
    Collective& collective = *group[static_cast<std::size_t>(rank)];
    NoOptimizer optimizer;
    const auto sum = dense_sum(collective, {});
    DataParallel parallel({collective, *sum, optimizer}, std::chrono::seconds(60), kPlan);
    std::vector<float> gradient(kSize + Synchronizer::kRiders);
    std::vector<float> parameters(kSize);
    const BatchShare share{.mine = 1, .all = 3};
    const auto ready = parallel.expect(gradient, share);
    if (rank == 2) return collective.abort();  // the others wait for its first bucket, or will
    ready(2000, 3000);
    const auto sums = parallel.exchange(gradient, parameters, {.share = share});
    ASSERT_FALSE(sums);
    EXPECT_EQ(sums.error().code, Code::kAborted) << sums.error().message;
  });
}

TEST(Overlap, AStepThatIsGivenUpDoesNotKeepItsThread) {
  auto group = collectives(memory_mesh(2, 3));
  NoOptimizer optimizer;
  const auto sum = dense_sum(*group[0], {});
  std::vector<float> gradient(kSize + Synchronizer::kRiders);
  DataParallel parallel({*group[0], *sum, optimizer}, std::chrono::hours(1), kPlan);
  const auto ready = parallel.expect(gradient, {.mine = 1, .all = 2});
  ready(2000, 3000);  // the other rank never comes
}

TEST(NotFinite, IsCountedForAnyLengthAndPlace) {
  const float odd[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity(), -std::nanf("7")};
  const float fine[] = {0.0F,
                        -0.0F,
                        std::numeric_limits<float>::max(),
                        std::numeric_limits<float>::lowest(),
                        std::numeric_limits<float>::denorm_min(),
                        1.5F};
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Random random(seed);
    std::vector<float> values(random.below(seed % 10 == 0 ? 300'000 : 300));
    std::size_t expected = 0;
    for (float& value : values) {
      const bool is_odd = random.below(5) == 0;
      expected += is_odd ? 1 : 0;
      value = is_odd ? odd[random.below(std::size(odd))] : fine[random.below(std::size(fine))];
    }
    EXPECT_EQ(count_not_finite(values.data(), values.size()), expected) << "seed " << seed;
  }
}

}  // namespace
}  // namespace muster::worker::test
