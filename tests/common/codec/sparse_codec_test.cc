// tests/common/codec/sparse_codec_test.cc: which values are kept, and how their positions are written
#include "common/codec/sparse_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "common/codec/magnitude.h"
#include "common/codec/sparse_frame.h"
#include "tests/common/codec/support.h"

namespace muster::codec {
namespace {

using Positions = std::vector<std::uint32_t>;

// By sorting.
Positions largest_by_definition(std::span<const float> values, std::size_t count) {
  Positions all(values.size());
  std::iota(all.begin(), all.end(), 0U);
  std::stable_sort(all.begin(), all.end(), [&](std::uint32_t a, std::uint32_t b) {
    return magnitude_bits(values[a]) > magnitude_bits(values[b]);
  });
  all.resize(count);
  std::sort(all.begin(), all.end());
  return all;
}

TEST(TopK, KeepsTheLargestAndOfEqualsTheFirst) {
  EXPECT_EQ(largest_positions(std::vector<float>{1, -3, 2, 3, -2}, 3), (Positions{1, 2, 3}));
  EXPECT_EQ(largest_positions(std::vector<float>{1, 1, 1, 1}, 2), (Positions{0, 1}));
  EXPECT_EQ(largest_positions(std::vector<float>{0, NAN, INFINITY, 9}, 1), (Positions{1}));
  Random random(hash_key(31));
  for (int round = 0; round < 300; ++round) {
    auto values = normal_values(1 + random.below(3000), random.next());
    if (round % 3 == 0)
      for (float& value : values) value = std::nearbyint(value);  // many ties
    const std::size_t count = 1 + random.below(values.size());
    ASSERT_EQ(largest_positions(values, count), largest_by_definition(values, count))
        << "hash_key(31), " << round;
  }
}

TEST(TopK, KeepsTheCeilingOfItsFraction) {
  EXPECT_EQ(TopK{0.01}.kept(1000), 10U);
  EXPECT_EQ(TopK{0.01}.kept(1001), 11U);
  EXPECT_EQ(TopK{0.07}.kept(100), 7U) << "0.07 * 100 is above 7 in float64";
  EXPECT_EQ(TopK{1e-9}.kept(1), 1U);
  EXPECT_EQ(TopK{1}.kept(12'345), 12'345U);
  EXPECT_EQ(TopK{0.5}.kept(0), 0U);
}

TEST(Prune, KeepsWhatIsLargerThanTheThreshold) {
  const std::vector<float> values{0, -0.0F, 1, -2, 2.5F, NAN, 1e-45F};
  EXPECT_EQ(positions_above(values, 0), (Positions{2, 3, 4, 5, 6}));
  EXPECT_EQ(positions_above(values, 2), (Positions{4, 5}));
}

TEST(Prune, OfZeroThresholdLosesNothing) {
  auto values = normal_values(10'000, 32);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (i % 10 != 0) values[i] = 0;
  SparseCodec codec(Prune{0}, Format::kFloat32);
  const auto frame = frame_of(codec, values);
  EXPECT_EQ(decoded(codec, frame, values.size()), values);
  EXPECT_LT(frame.size(), values.size() * 4 / 7);
}

std::vector<std::byte> frame_keeping(std::size_t count, const Positions& positions) {
  std::vector<float> values(count);
  for (const std::uint32_t position : positions) values[position] = 1;
  SparseCodec codec(Prune{0}, Format::kFloat32);
  return frame_of(codec, values);
}

Positions every(std::uint32_t step, std::uint32_t count) {
  Positions positions;
  for (std::uint32_t i = 0; i < count; i += step) positions.push_back(i);
  return positions;
}

TEST(SparseFrame, TakesTheShortestForm) {
  const auto form = [](std::size_t count, const Positions& positions) {
    return sparse_form(frame_keeping(count, positions));
  };
  EXPECT_EQ(form(100'000, {}), SparseForm::kIndices);
  EXPECT_EQ(form(100'000, {70'000}), SparseForm::kIndices) << "one position: Rice's code would be as long";
  EXPECT_EQ(form(100'000, {0, 99'999}), SparseForm::kRice);
  EXPECT_EQ(form(100'000, every(100, 100'000)), SparseForm::kRice);
  EXPECT_EQ(form(100'000, every(2, 100'000)), SparseForm::kBitmap);
  EXPECT_EQ(form(100'000, every(1, 100'000)), SparseForm::kDense);
  EXPECT_EQ(sparse_form({}), SparseForm::kDense);
}

TEST(SparseFrame, HasTheExactSizeOfEachForm) {
  EXPECT_EQ(frame_keeping(100'000, {}).size(), 5U);
  EXPECT_EQ(frame_keeping(100'000, {70'000}).size(), 5U + 4 + 4);
  EXPECT_EQ(frame_keeping(100'001, every(2, 100'001)).size(), 5U + 50'001 * 4 + 12'501);
  EXPECT_EQ(frame_keeping(100'000, every(1, 100'000)).size(), 1U + 400'000);
  // The gap 99 in Rice's code of parameter 6: one zero, a one, six bits. The first gap is 0: seven bits.
  EXPECT_EQ(frame_keeping(100'000, every(100, 100'000)).size(), 5U + 1000 * 4 + 1 + (7 + 999 * 8 + 7) / 8);
}

TEST(SparseFrame, WritesRiceLikeThis) {
  std::vector<std::byte> section(4);
  const Positions positions{
      2, 9};  // gaps 2 and 6; parameter 2: "1", "01"; then "0", "1", "01", bits from the low end
  write_rice(positions, {.parameter = 2, .bytes = 2}, section.data());
  EXPECT_EQ(section[0], std::byte{2});
  EXPECT_EQ(section[1], std::byte{0b1010'101});
}

// R. F. Rice's code against the entropy: 64 of 4096 positions carry log2 C(4096, 64) = 471.3 bits, 7.364
// each.
TEST(SparseFrame, RiceIsWithinThreePercentOfTheEntropy) {
  Random random(hash_key(33));
  double bits = 0;
  constexpr int kRounds = 2000;
  for (int round = 0; round < kRounds; ++round) {
    Positions all(4096);
    std::iota(all.begin(), all.end(), 0U);
    random.shuffle<std::uint32_t>(all);
    Positions positions(all.begin(), all.begin() + 64);
    std::sort(positions.begin(), positions.end());
    const RicePlan plan = plan_rice(positions);
    bits += 8.0 * static_cast<double>(plan.bytes - 1) / 64 / kRounds;
    std::vector<std::byte> section(plan.bytes);
    write_rice(positions, plan, section.data());
    Positions back;
    ASSERT_TRUE(read_rice(section, 64, 4096,
                          [&](std::size_t at) { back.push_back(static_cast<std::uint32_t>(at)); }));
    ASSERT_EQ(back, positions);
  }
  EXPECT_LT(bits, 7.364 * 1.03);
  EXPECT_GT(bits, 7.364);
}

TEST(SparseFrame, RiceTakesGapsOfAnySize) {
  const std::size_t limit = std::size_t{1} << 32;
  for (const Positions& positions :
       {Positions{0xffff'ffffU}, Positions{0}, Positions{0, 1, 0xffff'fffeU, 0xffff'ffffU},
        Positions{5, 1000, 2'000'000'000}}) {
    const RicePlan plan = plan_rice(positions);
    std::vector<std::byte> section(plan.bytes);
    write_rice(positions, plan, section.data());
    Positions back;
    EXPECT_TRUE(read_rice(section, positions.size(), limit,
                          [&](std::size_t at) { back.push_back(static_cast<std::uint32_t>(at)); }));
    EXPECT_EQ(back, positions);
  }
}

TEST(SparseFrame, LiesAreRefused) {
  std::vector<float> values(1000);
  for (const std::size_t at : {3U, 5U, 900U}) values[at] = 1;
  SparseCodec codec(Prune{0}, Format::kFloat32);
  const auto good = frame_of(codec, values);
  ASSERT_EQ(sparse_form(good), SparseForm::kRice);
  const auto refused = [&](std::vector<std::byte> frame) {
    std::vector<float> back(1000, 7);
    return !codec.decode(frame, back) &&
           std::all_of(back.begin(), back.end(), [](float v) { return v == 7; });
  };
  const auto with = [&](std::size_t at, int byte) {
    auto frame = good;
    frame[at] = static_cast<std::byte>(byte);
    return frame;
  };
  EXPECT_TRUE(refused(with(0, 4))) << "an unknown form";
  EXPECT_TRUE(refused(with(0, 0))) << "indices of another length";
  EXPECT_TRUE(refused(with(0, 1))) << "a bitmap of another length";
  EXPECT_TRUE(refused(with(0, 3))) << "dense of another length";
  EXPECT_TRUE(refused(with(1, 4))) << "one more than there are";
  EXPECT_TRUE(refused(with(1, 2))) << "one fewer";
  EXPECT_TRUE(refused(with(4, 0xff))) << "more than a vector can have";
  EXPECT_TRUE(refused(with(5 + 12, 32))) << "a parameter that no gap needs";
  auto padded = good;
  padded.back() |= std::byte{0x80};
  EXPECT_TRUE(refused(padded) || padded == good) << "bits after the last gap";
  // Indices that do not rise.
  std::vector<std::byte> indices(5 + 2 * 8);
  indices[1] = std::byte{2};
  indices[5 + 8] = std::byte{9};
  EXPECT_TRUE(refused(indices)) << "9, then 0";
  indices[5 + 12] = std::byte{9};
  EXPECT_TRUE(refused(indices)) << "9 twice";
  indices[5 + 12] = std::byte{10};
  EXPECT_FALSE(refused(indices)) << "9, then 10";
}

TEST(SparseCodec, ValuesAreWrittenInTheFormat) {
  const auto values = normal_values(51'200, 34);
  SparseCodec exact(TopK{0.01}, Format::kFloat32);
  SparseCodec small(TopK{0.01}, Format::kInt8);
  const auto frame = frame_of(small, values);
  EXPECT_EQ(frame_of(exact, values).size() - frame.size(), 512U * 4 - (512 + 4)) << "the same positions";
  EXPECT_EQ(frame.size() * 8 / 512, 16U) << "16 bits a value that is sent, 0.16 bits a value";
  const auto expected = decoded(exact, frame_of(exact, values), values.size());
  const auto back = decoded(small, frame, values.size());
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(back[i], expected[i], 4.5 / 127) << i;
}

}  // namespace
}  // namespace muster::codec
