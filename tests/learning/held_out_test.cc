// tests/learning/held_out_test.cc: what is set aside, and what a device holds while its data comes and goes
#include "learning/held_out.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "common/base/random.h"
#include "learning/stream.h"

namespace muster::learning {
namespace {

std::vector<std::int64_t> numbers(std::int64_t count) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

TEST(HeldOut, IsAFifthThatNobodyTrainsOn) {
  for (const std::int64_t count : {2, 3, 5, 10, 101, 1000}) {
    const Split split = split_rows(numbers(count), kHeldOutShare, hash_key(7, count));
    const auto wanted = std::max<std::int64_t>(1, std::llround(0.2 * static_cast<double>(count)));
    EXPECT_EQ(std::ssize(split.held_out), wanted) << count;
    EXPECT_EQ(held_out_count(static_cast<std::size_t>(count), kHeldOutShare), split.held_out.size());
    std::vector<std::int64_t> all = split.rest;
    all.insert(all.end(), split.held_out.begin(), split.held_out.end());
    std::ranges::sort(all);
    EXPECT_EQ(all, numbers(count));  // each once
  }
  EXPECT_TRUE(split_rows(numbers(1), kHeldOutShare, 1).held_out.empty());
  EXPECT_TRUE(split_rows({}, kHeldOutShare, 1).rest.empty());
}

TEST(HeldOut, IsAFunctionOfSeedAndClient) {
  const auto held = [](std::uint64_t key) { return split_rows(numbers(50), kHeldOutShare, key).held_out; };
  EXPECT_EQ(held(hash_key(7, 3)), held(hash_key(7, 3)));
  EXPECT_NE(held(hash_key(7, 3)), held(hash_key(7, 4)));
  EXPECT_NE(held(hash_key(7, 3)), held(hash_key(8, 3)));
}

TEST(HeldOut, RowsKeepTheirFeaturesAndLabels) {
  Examples data{.feature_count = 2,
                .class_count = 3,
                .shape = {2},
                .features = {0, 1, 2, 3, 4, 5},
                .labels = {0, 1, 2}};
  const Examples floats = rows_of(data, std::vector<std::int64_t>{2, 0});
  EXPECT_EQ(floats.features, (std::vector<float>{4, 5, 0, 1}));
  EXPECT_EQ(floats.labels, (std::vector<std::int32_t>{2, 0}));
  data.features.clear();
  data.pixels = {9, 8, 7, 6, 5, 4};
  const Examples images = rows_of(data, std::vector<std::int64_t>{1});
  EXPECT_EQ(images.pixels, (std::vector<std::uint8_t>{7, 6}));
  EXPECT_EQ(images.size(), 1);
}

TEST(Stream, GrowsAndExpires) {
  const spec::Stream stream{.initial_examples = 20, .examples_per_round = 5, .expire_after_rounds = 3};
  constexpr std::int64_t kPart = 1000;
  const auto window = [&](std::int64_t round) {
    const StreamWindow held = window_of(stream, kPart, round);
    return std::pair(held.begin, held.end);
  };
  EXPECT_EQ(window(1), std::pair(std::int64_t{0}, std::int64_t{20}));
  EXPECT_EQ(window(4), std::pair(std::int64_t{0}, std::int64_t{35}));   // of round 1: three rounds ago
  EXPECT_EQ(window(5), std::pair(std::int64_t{20}, std::int64_t{40}));  // what it began with is gone
  EXPECT_EQ(window(100), std::pair(std::int64_t{495}, std::int64_t{515}));
  EXPECT_EQ(window_of({.initial_examples = 20, .examples_per_round = 5}, 30, 9).begin, 30);  // of 60, 30 fit
  EXPECT_EQ(arrival_of(stream, 19), 1);
  EXPECT_EQ(arrival_of(stream, 20), 2);
  EXPECT_EQ(arrival_of(stream, 24), 2);
  EXPECT_EQ(arrival_of(stream, 25), 3);
}

// Each example that a client holds came in a round in which it could have come.
TEST(Stream, EveryExampleIsThereFromItsArrivalUntilItExpires) {
  constexpr std::uint64_t kSeed = 11;
  RecordProperty("seed", static_cast<int>(kSeed));
  Random random(kSeed);
  for (int run = 0; run < 200; ++run) {
    const spec::Stream stream{.initial_examples = static_cast<std::int64_t>(1 + random.below(30)),
                              .examples_per_round = static_cast<std::int64_t>(1 + random.below(9)),
                              .expire_after_rounds = static_cast<std::int64_t>(1 + random.below(6))};
    const auto round = static_cast<std::int64_t>(1 + random.below(50));
    const StreamWindow held = window_of(stream, 1 << 20, round);
    ASSERT_LT(held.begin, held.end);
    EXPECT_LE(arrival_of(stream, held.end - 1), round);
    EXPECT_EQ(arrival_of(stream, held.end), round + 1);
    EXPECT_GE(arrival_of(stream, held.begin), round - stream.expire_after_rounds);
    if (held.begin > 0) {
      EXPECT_LT(arrival_of(stream, held.begin - 1), round - stream.expire_after_rounds);
    }
  }
}

TEST(Stream, ComesAgainFromItsBeginningAndShiftsItsLabels) {
  const Examples data{
      .feature_count = 1, .class_count = 3, .shape = {1}, .features = {0, 1, 2, 3}, .labels = {0, 1, 2, 0}};
  const spec::Stream stream{.initial_examples = 2,
                            .examples_per_round = 1,
                            .expire_after_rounds = 2,
                            .label_shift = spec::LabelShift{.round = 4, .by = 2}};
  const std::vector<std::int64_t> order{3, 1, 0, 2};
  const Examples first = held_in_round(stream, data, order, 1);
  EXPECT_EQ(first.features, (std::vector<float>{3, 1}));
  EXPECT_EQ(first.labels, (std::vector<std::int32_t>{0, 1}));
  // Numbers 3, 4, 5 came in rounds 3, 4, 5: rows 2, 3, 1.
  const Examples fifth = held_in_round(stream, data, order, 5);
  EXPECT_EQ(fifth.features, (std::vector<float>{2, 3, 1}));
  EXPECT_EQ(fifth.labels, (std::vector<std::int32_t>{2, 2, 0}));
  Examples test = data;
  shift_labels(stream, 3, test);
  EXPECT_EQ(test.labels, data.labels);
  shift_labels(stream, 4, test);
  EXPECT_EQ(test.labels, (std::vector<std::int32_t>{2, 0, 1, 2}));
}

}  // namespace
}  // namespace muster::learning
