// tests/learning/ledger_test.cc: what a ledger tells of epochs, against counts made example by example
#include "learning/ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <vector>

#include "common/base/random.h"

namespace muster::learning {
namespace {

// The order of an epoch, and how often each example counts, made without digests.
class Truth {
 public:
  Truth(std::int64_t examples, std::uint64_t seed) : order_(static_cast<std::size_t>(examples)) {
    std::iota(order_.begin(), order_.end(), std::int64_t{0});
    Random(seed).shuffle(std::span(order_));
  }
  [[nodiscard]] std::span<const std::int64_t> rows(Slice places) const {
    return std::span(order_).subspan(static_cast<std::size_t>(places.begin),
                                     static_cast<std::size_t>(places.size()));
  }
  void count(std::span<const std::int64_t> rows, int times = 1) {
    counts_.resize(order_.size());
    for (const std::int64_t row : rows) counts_[static_cast<std::size_t>(row)] += times;
  }
  [[nodiscard]] std::int64_t missed() const { return std::ranges::count(counts_, 0); }
  [[nodiscard]] std::int64_t twice() const {
    std::int64_t beyond = 0;
    for (const int count : counts_) beyond += std::max(count - 1, 0);
    return beyond;
  }

 private:
  std::vector<std::int64_t> order_;
  std::vector<int> counts_;
};

TEST(Ledger, AnEpochInStepsOfAnySizeBalances) {
  Ledger ledger;
  const Truth truth(97, 1);
  for (std::int64_t epoch = 1; epoch <= 3; ++epoch) {
    for (std::int64_t at = 0; at < 97; at += 10 * epoch) {
      const Slice step{at, std::min<std::int64_t>(at + 10 * epoch, 97)};
      ledger.count(step, digest_of_rows(truth.rows(step)));
    }
    ledger.close(epoch, 97);
    EXPECT_TRUE(ledger.balances().back().balances());
    EXPECT_EQ(ledger.balances().back(),
              (EpochBalance{.epoch = epoch, .expected = 97, .counted = 97, .digest = digest_of_all(97)}));
  }
  EXPECT_EQ(ledger.open(), Ledger::Open());
}

TEST(Ledger, PlacesThatCountAgainOrNotAtAllAreFoundToTheExample) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const auto examples = static_cast<std::int64_t>(20 + random.below(80));
    Truth truth(examples, seed);
    truth.count({});
    Ledger ledger;
    bool planted = false;
    std::int64_t at = 0;
    while (at < examples) {
      // A membership that begins where it should not: too early, or too late.
      if (random.below(8) == 0) {
        const std::int64_t to =
            std::clamp<std::int64_t>(at + static_cast<std::int64_t>(random.below(9)) - 4, 0, examples - 1);
        planted = planted || to != at;
        at = to;
      }
      const Slice step{
          at, std::min<std::int64_t>(at + 1 + static_cast<std::int64_t>(random.below(12)), examples)};
      ledger.count(step, digest_of_rows(truth.rows(step)));
      truth.count(truth.rows(step));
      at = step.end;
    }
    ledger.close(1, examples);
    const EpochBalance balance = ledger.balances().back();
    // Who passes places over and comes back to some of them has both counted: never fewer than there are.
    EXPECT_GE(balance.twice, truth.twice());
    EXPECT_GE(balance.missed, truth.missed());
    EXPECT_EQ(balance.twice - balance.missed, truth.twice() - truth.missed());
    EXPECT_EQ(balance.balances(), truth.twice() == 0 && truth.missed() == 0);
    EXPECT_TRUE(planted || balance.balances());
  }
}

TEST(Ledger, RowsThatAreNotThoseOfTheirPlacesAreFound) {
  const Truth truth(30, 3);
  Ledger ledger;
  ledger.count({0, 10}, digest_of_rows(truth.rows({0, 10})));
  ledger.correct(truth.rows({2, 5}), truth.rows({7, 10}));  // three in place of three others
  ledger.count({10, 30}, digest_of_rows(truth.rows({10, 30})));
  const Ledger before = ledger;
  ledger.close(1, 30);
  EXPECT_EQ(ledger.balances().back().twice, 3);
  EXPECT_EQ(ledger.balances().back().missed, 3);
  EXPECT_EQ(ledger.balances().back().counted, 30);
  EXPECT_NE(ledger.balances().back().digest, digest_of_all(30));
  EXPECT_FALSE(ledger.balances().back().balances());

  ledger = before;
  ledger.correct(truth.rows({7, 10}), truth.rows({2, 5}));  // a later step makes it good
  ledger.close(1, 30);
  EXPECT_TRUE(ledger.balances().back().balances());
}

TEST(Ledger, AnOrderThatIsNoPermutationDoesNotBalance) {
  std::vector<std::int64_t> order(20);
  std::iota(order.begin(), order.end(), 0);
  order[3] = 4;
  Ledger ledger;
  ledger.count({0, 20}, digest_of_rows(order));
  ledger.close(1, 20);
  EXPECT_FALSE(ledger.balances().back().balances());
}

TEST(Ledger, KeepsTheNewestEpochs) {
  Ledger ledger;
  for (std::int64_t epoch = 1; epoch <= 20; ++epoch) ledger.close(epoch, 0);
  ASSERT_EQ(ledger.balances().size(), Ledger::kEpochs);
  EXPECT_EQ(ledger.balances().front().epoch, 13);
  EXPECT_EQ(ledger.balances().back().epoch, 20);
}

TEST(Ledger, WhatNoLedgerCanBeIsRefused) {
  const std::vector<EpochBalance> good{{.epoch = 1, .expected = 5, .counted = 5}, {.epoch = 2}};
  ASSERT_TRUE(Ledger::of({.reached = 3, .counted = 3}, good));
  EXPECT_EQ(Ledger::of({.reached = 3, .counted = 3}, good)->balances().size(), 2U);
  EXPECT_FALSE(Ledger::of({.reached = -1}, good));
  EXPECT_FALSE(Ledger::of({.twice = -1}, good));
  constexpr std::int64_t kTooMany = (std::int64_t{1} << 53) + 1;
  EXPECT_TRUE(Ledger::of({.counted = kTooMany - 1}, good));
  EXPECT_FALSE(Ledger::of({.counted = kTooMany}, good));
  EXPECT_FALSE(Ledger::of({}, std::vector<EpochBalance>{{.epoch = 1, .missed = kTooMany}}));
  EXPECT_FALSE(Ledger::of({}, std::vector<EpochBalance>{{.epoch = kTooMany}}));
  EXPECT_TRUE(Ledger::of({}, good)->fits(2));
  EXPECT_FALSE(Ledger::of({}, good)->fits(1));
  EXPECT_FALSE(Ledger::of({}, std::vector<EpochBalance>{{.epoch = 2}, {.epoch = 2}}));
  EXPECT_FALSE(Ledger::of({}, std::vector<EpochBalance>{{.epoch = 0}}));
  EXPECT_FALSE(Ledger::of({}, std::vector<EpochBalance>{{.epoch = 1, .missed = -1}}));
  EXPECT_FALSE(Ledger::of({}, std::vector<EpochBalance>(Ledger::kEpochs + 1)));
  // Of a peer's memory, whatever it is.
  std::array<std::byte, sizeof(Ledger)> bytes{};
  Random random(5);
  for (int i = 0; i < 1000; ++i) {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
    EXPECT_FALSE(std::bit_cast<Ledger>(bytes).is_sound());
  }
}

}  // namespace
}  // namespace muster::learning
