// tests/aggregator/download_slots_test.cc: whose turn it is
#include "aggregator/shell/download_slots.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

namespace muster::agg {
namespace {

TEST(DownloadSlots, GivesTheSlotToThoseThatWaitInTheirOrder) {
  DownloadSlots slots(1);
  std::string order;
  const auto waiter = [&](char name) {
    return [&order, name] {
      order += name;
      return true;
    };
  };
  EXPECT_TRUE(slots.take(0, nullptr, waiter('x')));
  EXPECT_FALSE(slots.take(0, nullptr, waiter('a')));
  EXPECT_FALSE(slots.take(0, nullptr, waiter('b')));
  EXPECT_EQ(order, "");
  slots.give(0);
  EXPECT_EQ(order, "a");
  slots.give(0);
  EXPECT_EQ(order, "ab");
  EXPECT_FALSE(slots.take(0, nullptr, waiter('c'))) << "b holds it";
  slots.give(0);
  slots.give(0);
  EXPECT_EQ(order, "abc");
  EXPECT_TRUE(slots.take(0, nullptr, waiter('d')));
}

TEST(DownloadSlots, PassesOverThoseThatHaveGone) {
  DownloadSlots slots(1);
  int asked = 0;
  const auto gone = [&] {
    ++asked;
    return false;
  };
  EXPECT_TRUE(slots.take(0, nullptr, gone));
  EXPECT_FALSE(slots.take(0, nullptr, gone));
  EXPECT_FALSE(slots.take(0, nullptr, gone));
  slots.give(0);
  EXPECT_EQ(asked, 2);
  EXPECT_TRUE(slots.take(0, nullptr, gone));
}

TEST(DownloadSlots, PodsTakeTurns) {
  DownloadSlots slots(1);
  std::string order;
  const auto ask = [&](std::int64_t pod, char name) {
    return slots.take(pod, nullptr, [&order, name] {
      order += name;
      return true;
    });
  };
  ASSERT_TRUE(ask(7, 'x'));
  for (const char name : {'a', 'b', 'c'}) ASSERT_FALSE(ask(7, name));
  ASSERT_FALSE(ask(3, 'p'));
  ASSERT_FALSE(ask(5, 'q'));
  for (const std::int64_t holder : {7, 3, 5, 7, 7}) slots.give(holder);
  EXPECT_EQ(order, "pqabc");
}

TEST(DownloadSlots, ACallThatIsOverIsForgotten) {
  DownloadSlots slots(1);
  int asked = 0;
  const auto waiter = [&] {
    ++asked;
    return true;
  };
  const int call = 0;
  ASSERT_TRUE(slots.take(0, nullptr, waiter));
  ASSERT_FALSE(slots.take(0, &call, waiter));
  slots.forget(0, &call);
  slots.give(0);
  EXPECT_EQ(asked, 0);
  EXPECT_TRUE(slots.take(1, nullptr, waiter));
}

// Sixty-four readers of one pod stand still, are cut off after ten seconds and call again at once; three
// other pods come with a download each, of a chunk in every tenth of a second.
TEST(DownloadSlots, ReadersThatStandStillLeaveRoomForOtherPods) {
  constexpr int kStandsStill = 100;  // tenths of a second
  constexpr std::int64_t kLiar = 0;
  DownloadSlots slots(64);
  int now = 0;
  std::vector<int> cut;  // when each of those that hold a slot and stand still is
  const auto stand_still = [&] {
    cut.push_back(now + kStandsStill);
    return true;
  };
  for (int i = 0; i < 64; ++i)
    if (slots.take(kLiar, nullptr, stand_still)) std::ignore = stand_still();
  EXPECT_EQ(cut.size(), 32U) << "half is left for the next pod";
  std::vector<int> chunks(4);
  std::vector<bool> holds(4);
  const auto ask = [&](std::size_t pod) {
    const auto begin = [&holds, pod] { return holds[pod] = true; };
    if (slots.take(static_cast<std::int64_t>(pod), nullptr, begin)) std::ignore = begin();
  };
  for (const std::size_t pod : {1U, 2U, 3U}) ask(pod);
  for (; now < 1'000; ++now) {
    const auto ended = static_cast<std::size_t>(std::ranges::count(cut, now));
    std::erase(cut, now);
    for (std::size_t i = 0; i < ended; ++i) slots.give(kLiar);
    for (std::size_t i = 0; i < ended; ++i)
      if (slots.take(kLiar, nullptr, stand_still)) std::ignore = stand_still();
    for (const std::size_t pod : {1U, 2U, 3U}) {
      if (!holds[pod]) continue;
      ++chunks[pod];
      holds[pod] = false;
      slots.give(static_cast<std::int64_t>(pod));
      ask(pod);
    }
  }
  for (const std::size_t pod : {1U, 2U, 3U}) EXPECT_EQ(chunks[pod], 1'000) << "pod " << pod << " never waits";
  EXPECT_LE(cut.size(), 32U);
}

}  // namespace
}  // namespace muster::agg
