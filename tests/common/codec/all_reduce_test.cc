// tests/common/codec/all_reduce_test.cc: an all-reduce of frames as an engine would make it, in one process
#include <gtest/gtest.h>

#include <algorithm>

#include "common/codec/error_feedback.h"
#include "common/codec/wire_size.h"
#include "tests/common/codec/support.h"

namespace muster::codec {
namespace {

// What each rank has: a codec for its values, and one for the mean of its chunk; feedback on both sides.
struct Rank {
  std::unique_ptr<Codec> scatter;
  std::unique_ptr<Codec> gather;
  std::uint64_t sent = 0;
};

std::vector<Rank> ranks_of(const CodecOptions& options, std::int64_t ranks, std::size_t count,
                           bool feedback) {
  std::vector<Rank> all;
  for (std::int64_t r = 0; r < ranks; ++r) {
    Rank rank{codec_of(options), codec_of(options)};
    const Slice chunk = group_slice(static_cast<std::int64_t>(count), r, ranks);
    if (feedback) {
      rank.scatter = std::make_unique<ErrorFeedback>(std::move(rank.scatter), count);
      rank.gather =
          std::make_unique<ErrorFeedback>(std::move(rank.gather), static_cast<std::size_t>(chunk.size()),
                                          static_cast<std::uint64_t>(chunk.begin));
    }
    all.push_back(std::move(rank));
  }
  return all;
}

std::span<const float> part(std::span<const float> values, const Slice& slice) {
  return values.subspan(static_cast<std::size_t>(slice.begin), static_cast<std::size_t>(slice.size()));
}

// The mean of `inputs`, one a rank, as every rank decodes it.
std::vector<float> all_reduce(std::vector<Rank>& ranks, const std::vector<std::vector<float>>& inputs,
                              std::uint64_t step) {
  const auto n = std::ssize(ranks);
  const std::size_t count = inputs.front().size();
  std::vector<float> result(count);
  for (std::int64_t owner = 0; owner < n; ++owner) {
    const Slice slice = group_slice(static_cast<std::int64_t>(count), owner, n);
    const auto first = static_cast<std::uint64_t>(slice.begin);
    const auto own = part(inputs[static_cast<std::size_t>(owner)], slice);
    std::vector<float> sums(own.begin(), own.end());  // its own part is never rounded
    for (std::int64_t peer = 0; peer < n; ++peer) {
      if (peer == owner) continue;
      Rank& sender = ranks[static_cast<std::size_t>(peer)];
      const Key key{.seed = hash_key(80, peer, 0), .step = step, .first = first};
      const auto frame = frame_of(*sender.scatter, part(inputs[static_cast<std::size_t>(peer)], slice), key);
      sender.sent += frame.size();
      EXPECT_TRUE(ranks[static_cast<std::size_t>(owner)].scatter->decode_add(frame, 1, sums).has_value());
    }
    for (float& sum : sums) sum /= static_cast<float>(n);
    Rank& reducer = ranks[static_cast<std::size_t>(owner)];
    const Key key{.seed = hash_key(80, owner, 1), .step = step, .first = first};
    const auto frame = frame_of(*reducer.gather, sums, key);
    reducer.sent += frame.size() * static_cast<std::uint64_t>(n - 1);
    const auto mean =
        decoded(*reducer.gather, frame, sums.size());  // also by the owner: all have the same bits
    std::copy(mean.begin(), mean.end(), result.begin() + slice.begin);
  }
  return result;
}

std::vector<std::vector<float>> inputs_of(std::size_t ranks, std::size_t count, std::uint64_t seed) {
  std::vector<std::vector<float>> inputs;
  for (std::size_t rank = 0; rank < ranks; ++rank)
    inputs.push_back(normal_values(count, hash_key(seed, rank)));
  return inputs;
}

std::vector<double> mean_of(const std::vector<std::vector<float>>& inputs) {
  std::vector<double> mean(inputs.front().size());
  for (const auto& values : inputs)
    for (std::size_t i = 0; i < mean.size(); ++i)
      mean[i] += static_cast<double>(values[i]) / static_cast<double>(inputs.size());
  return mean;
}

class CompressedAllReduce : public testing::TestWithParam<NamedCodec> {};

TEST_P(CompressedAllReduce, SendsTheFormulaAndErrsByTwoRoundings) {
  for (const std::size_t n : {1U, 2U, 3U, 5U}) {
    for (const std::size_t count : {1U, 511U, 513U, 4000U, 10'007U}) {
      auto ranks = ranks_of(GetParam().options, static_cast<std::int64_t>(n), count, false);
      const auto inputs = inputs_of(n, count, 81);
      const auto result = all_reduce(ranks, inputs, 0);
      double largest = 0;
      for (const auto& values : inputs)
        for (const float value : values) largest = std::max(largest, std::fabs(static_cast<double>(value)));
      const double once = ranks.front().scatter->max_error(largest);
      const double twice = once + ranks.front().gather->max_error(largest + once) + 1e-6;
      const auto mean = mean_of(inputs);
      for (std::size_t i = 0; i < count; ++i) ASSERT_NEAR(static_cast<double>(result[i]), mean[i], twice);
      for (std::size_t rank = 0; rank < n; ++rank)
        EXPECT_EQ(ranks[rank].sent,
                  all_reduce_bytes(*ranks[rank].scatter, count, static_cast<int>(rank), static_cast<int>(n)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(FixedSize, CompressedAllReduce, testing::ValuesIn(dense_codecs()),
                         [](const auto& codec) { return codec.param.name; });

class CompressedAllReduceWithFeedback : public testing::TestWithParam<NamedCodec> {};

// With feedback on both sides the sum of the results stays within a bounded distance of the sum of the true
// means.
TEST_P(CompressedAllReduceWithFeedback, FollowsTheSumOfTheMeans) {
  constexpr std::size_t kRanks = 4;
  constexpr std::size_t kCount = 3000;
  auto ranks = ranks_of(GetParam().options, kRanks, kCount, true);
  std::vector<double> distance(kCount);
  double after_half = 0;
  const auto norm = [&] {
    double squares = 0;
    for (const double value : distance) squares += value * value;
    return std::sqrt(squares);
  };
  constexpr std::uint64_t kSteps = 400;
  for (std::uint64_t step = 0; step < kSteps; ++step) {
    const auto inputs = inputs_of(kRanks, kCount, 90 + step);
    const auto result = all_reduce(ranks, inputs, step);
    const auto mean = mean_of(inputs);
    for (std::size_t i = 0; i < kCount; ++i) distance[i] += static_cast<double>(result[i]) - mean[i];
    if (step + 1 == kSteps / 2) after_half = norm();
  }
  EXPECT_LT(norm(), 1.15 * after_half + 1e-2) << "does not grow with the steps";
}

INSTANTIATE_TEST_SUITE_P(All, CompressedAllReduceWithFeedback,
                         testing::Values(NamedCodec{"int8", {.format = Format::kInt8}},
                                         NamedCodec{"int4", {.format = Format::kInt4}},
                                         NamedCodec{"sign", {.format = Format::kSign}},
                                         NamedCodec{"top10percent", {.top_k_fraction = 0.1}}),
                         [](const auto& codec) { return codec.param.name; });

TEST(WireSize, DenseIsSentWhereItIsShorter) {
  const auto compressed = [](Format format, std::size_t count) {
    return compresses(*codec_of({.format = format}), count);
  };
  EXPECT_FALSE(compressed(Format::kFloat32, 1000));
  EXPECT_FALSE(compressed(Format::kInt8, 1)) << "5 bytes";
  EXPECT_TRUE(compressed(Format::kInt8, 2)) << "6 of 8 bytes";
  EXPECT_TRUE(compressed(Format::kFloat16, 1));
  EXPECT_TRUE(compresses(*codec_of({.top_k_fraction = 0.01}), 1)) << "its frame decides";
}

TEST(WireSize, OfAnAllGather) {
  const auto codec = codec_of({.format = Format::kInt8});
  EXPECT_EQ(all_gather_bytes(*codec, 1024, 4), 3U * (1024 + 8));
}

TEST(MakeCodec, RefusesOptionsThatCannotBe) {
  for (const CodecOptions& options :
       {CodecOptions{.top_k_fraction = 0}, CodecOptions{.top_k_fraction = 1.5},
        CodecOptions{.top_k_fraction = NAN}, CodecOptions{.prune_threshold = -1.0F},
        CodecOptions{.prune_threshold = INFINITY},
        CodecOptions{.top_k_fraction = 0.5, .prune_threshold = 0.0F}}) {
    const auto codec = make_codec(options);
    ASSERT_FALSE(codec.has_value());
    EXPECT_EQ(codec.error().code, Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace muster::codec
