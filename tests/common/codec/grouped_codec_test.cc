// tests/common/codec/grouped_codec_test.cc: the bytes of each format, their number, and what rounding does on
// average
#include "common/codec/grouped_codec.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/common/codec/support.h"

namespace muster::codec {
namespace {

std::vector<int> numbers(std::span<const std::byte> bytes) {
  std::vector<int> all;
  for (const std::byte byte : bytes) all.push_back(std::to_integer<int>(byte));
  return all;
}

// Values that are levels are not rounded, so that their bytes are known without a draw.
TEST(GroupedCodec, WritesTheScaleThenTheCodes) {
  using List = std::vector<int>;
  const auto frame = [](Format format, const std::vector<float>& values) {
    GroupedCodec codec(format);
    return numbers(frame_of(codec, values));
  };
  EXPECT_EQ(frame(Format::kFloat32, {1, -2}), (List{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}));
  EXPECT_EQ(frame(Format::kFloat16, {1, -2}), (List{0, 0x3c, 0, 0xc0}));
  EXPECT_EQ(frame(Format::kBFloat16, {1, -2}), (List{0x80, 0x3f, 0, 0xc0}));
  // 127 is 0x42fe0000.
  EXPECT_EQ(frame(Format::kInt8, {127, -1, 64}), (List{0, 0, 0xfe, 0x42, 127, 0x80 | 1, 64}));
  // 7 is 0x40e00000. Two bytes of three codes: 0 and 2, then 1.
  EXPECT_EQ(frame(Format::kInt4, {7, -3, 1}), (List{0, 0, 0xe0, 0x40, 0x17, 0x8 | 3}));
  // 0.5 is 0x3f000000. Five codes in two bytes: 0, 2 and 4, then 1 and 3.
  EXPECT_EQ(frame(Format::kInt2, {0.5, 0, -0.5, 0.5, -0.5}), (List{0, 0, 0, 0x3f, 0b11'11'01, 0b01'00}));
  // Powers of two below 4 = 0x40800000; level 7 is 1, level 1 is 1/64 of it.
  EXPECT_EQ(frame(Format::kE3M0, {4, -2, 0.0625, 0}), (List{0, 0, 0x80, 0x40, 0x17, 0x8 | 6}));
  // Their mean magnitude is 2 = 0x40000000.
  EXPECT_EQ(frame(Format::kSign, {1, -2, -3}), (List{0, 0, 0, 0x40, 0b110}));
}

TEST(GroupedCodec, WireBytesAreExact) {
  for (const std::size_t count : {0U, 1U, 2U, 511U, 512U, 513U, 1'000'003U}) {
    for (const NamedCodec& named : dense_codecs()) {
      const auto codec = codec_of(named.options);
      const auto bits = static_cast<std::size_t>(format_bits(named.options.format));
      const std::size_t scales = bits < 16 ? 4 * ((count + 511) / 512) : 0;
      EXPECT_EQ(codec->wire_bytes(count), (bits * count + 7) / 8 + scales) << named << " " << count;
      EXPECT_EQ(frame_of(*codec, std::vector<float>(count, 1.5F)).size(), codec->wire_bytes(count)) << named;
    }
  }
}

TEST(GroupedCodec, BytesFallLinearlyWithTheWidth) {
  constexpr std::size_t kCount = 512 * 1000;
  for (const Format format : {Format::kInt8, Format::kInt4, Format::kInt2, Format::kSign}) {
    const double bytes = static_cast<double>(*GroupedCodec(format).wire_bytes(kCount));
    EXPECT_DOUBLE_EQ(bytes / kCount, format_bits(format) / 8.0 + 4.0 / 512);
  }
}

// What becomes of each value under independent keys: the mean error, and the levels below and above, if it
// went to both.
struct Outcome {
  double mean_error = 0;
  double squared_error = 0;
  double least = 1e9;
  double most = -1e9;
};
std::vector<Outcome> outcomes(Format format, std::span<const float> values, int rounds) {
  GroupedCodec codec(format);
  std::vector<Outcome> all(values.size());
  for (int round = 0; round < rounds; ++round) {
    const auto back = decoded(codec, frame_of(codec, values, {.seed = hash_key(11, round)}), values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double error = static_cast<double>(back[i]) - static_cast<double>(values[i]);
      all[i].mean_error += error / rounds;
      all[i].squared_error += error * error / rounds;
      all[i].least = std::min(all[i].least, error);
      all[i].most = std::max(all[i].most, error);
    }
  }
  return all;
}

class StochasticFormat : public testing::TestWithParam<Format> {};

TEST_P(StochasticFormat, IsUnbiased) {
  constexpr int kRounds = 4000;
  SCOPED_TRACE("seeds hash_key(11, 0 .. 4000)");
  const auto values = normal_values(512, 12);
  double squares = 0;
  int tested = 0;
  for (const Outcome& outcome : outcomes(GetParam(), values, kRounds)) {
    // Rounded to errors a < 0 < b, up with probability -a / (b - a): the variance is -a b.
    const double times_up = kRounds * -outcome.least / std::max(outcome.most - outcome.least, 1e-9);
    if (std::min(times_up, kRounds - times_up) <
        20) {  // a level, or too near to one for a normal distribution
      EXPECT_LE(std::fabs(outcome.mean_error), 0.02 * std::max(outcome.most - outcome.least, 1.0));
      continue;
    }
    const double z = outcome.mean_error / std::sqrt(-outcome.least * outcome.most / kRounds);
    EXPECT_LT(std::fabs(z), 5);
    squares += z * z;
    ++tested;
  }
  EXPECT_GT(tested, 400);
  EXPECT_NEAR(squares, tested, 5 * std::sqrt(2.0 * tested)) << "a sum of squares of z, chi-square";
}

// Alistarh et al., lemma 3.1, for the levels of each width; and sharper, a quarter of a squared step a value.
class EvenlySpacedFormat : public testing::TestWithParam<Format> {};

TEST_P(EvenlySpacedFormat, VarianceIsWithinTheBoundOfQsgd) {
  const double levels = (1 << (format_bits(GetParam()) - 1)) - 1;
  for (const std::size_t count : {std::size_t{16}, std::size_t{512}}) {
    const auto values = normal_values(count, 13);
    double largest = 0;
    for (const float value : values) largest = std::max(largest, std::fabs(static_cast<double>(value)));
    const double d = static_cast<double>(count);
    double squared_error = 0;
    for (const Outcome& outcome : outcomes(GetParam(), values, 300)) squared_error += outcome.squared_error;
    EXPECT_GT(squared_error, 0);
    EXPECT_LE(squared_error, std::min(d / (levels * levels), std::sqrt(d) / levels) * squared_norm(values));
    EXPECT_LE(squared_error, d * largest * largest / (4 * levels * levels) * 1.05);
  }
}

INSTANTIATE_TEST_SUITE_P(All, EvenlySpacedFormat,
                         testing::Values(Format::kInt8, Format::kInt4, Format::kInt2),
                         [](const auto& format) { return std::string(format_name(format.param)); });
INSTANTIATE_TEST_SUITE_P(All, StochasticFormat,
                         testing::Values(Format::kInt8, Format::kInt4, Format::kInt2, Format::kE3M0),
                         [](const auto& format) { return std::string(format_name(format.param)); });

TEST(GroupedCodec, ErrorsOfRanksWithSeedsOfTheirOwnAverageOut) {
  constexpr int kRanks = 16;
  const auto values = normal_values(5000, 14);
  GroupedCodec codec(Format::kInt4);
  const auto error_of_mean = [&](bool shared) {
    std::vector<float> mean(values.size());
    for (int rank = 0; rank < kRanks; ++rank) {
      const Key key{.seed = hash_key(15, shared ? 0 : rank)};
      EXPECT_TRUE(codec.decode_add(frame_of(codec, values, key), 1.0F / kRanks, mean).has_value());
    }
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] -= values[i];
    return squared_norm(mean);
  };
  EXPECT_NEAR(error_of_mean(true) / error_of_mean(false), kRanks, 0.15 * kRanks);
}

TEST(GroupedCodec, OneBadValueTakesItsGroupAlong) {
  auto values = normal_values(1024, 16);
  values[700] = INFINITY;
  for (const Format format : {Format::kInt8, Format::kInt4, Format::kInt2, Format::kE3M0, Format::kSign}) {
    GroupedCodec codec(format);
    const auto back = decoded(codec, frame_of(codec, values), values.size());
    for (std::size_t i = 0; i < 1024; ++i) ASSERT_EQ(std::isnan(back[i]), i >= 512) << i;
  }
}

TEST(GroupedCodec, E3m0IsOffByLessThanTheValueItself) {
  const auto values = normal_values(512, 17);
  GroupedCodec codec(Format::kE3M0);
  const auto back = decoded(codec, frame_of(codec, values), values.size());
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float allowed = std::max(std::fabs(values[i]), largest / 64);
    EXPECT_LE(std::fabs(back[i] - values[i]), allowed * 1.00001F) << values[i] << " became " << back[i];
  }
}

}  // namespace
}  // namespace muster::codec
