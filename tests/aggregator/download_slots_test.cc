// tests/aggregator/download_slots_test.cc: whose turn it is
#include "aggregator/shell/download_slots.h"

#include <gtest/gtest.h>

#include <string>

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
  EXPECT_TRUE(slots.take(waiter('x')));
  EXPECT_FALSE(slots.take(waiter('a')));
  EXPECT_FALSE(slots.take(waiter('b')));
  EXPECT_EQ(order, "");
  slots.give();
  EXPECT_EQ(order, "a");
  slots.give();
  EXPECT_EQ(order, "ab");
  EXPECT_FALSE(slots.take(waiter('c'))) << "b holds it";
  slots.give();
  slots.give();
  EXPECT_EQ(order, "abc");
  EXPECT_TRUE(slots.take(waiter('d')));
}

TEST(DownloadSlots, PassesOverThoseThatHaveGone) {
  DownloadSlots slots(1);
  int asked = 0;
  const auto gone = [&] {
    ++asked;
    return false;
  };
  EXPECT_TRUE(slots.take(gone));
  EXPECT_FALSE(slots.take(gone));
  EXPECT_FALSE(slots.take(gone));
  slots.give();
  EXPECT_EQ(asked, 2);
  EXPECT_TRUE(slots.take(gone));
}

}  // namespace
}  // namespace muster::agg
