// tests/device/partial_work_test.cc: when a training stops that sends what it has come to
#include "device/partial_work.h"

#include <gtest/gtest.h>

namespace muster::device {
namespace {

using namespace std::chrono_literals;

constexpr Instant kNow{1h};

TEST(StopWatch, LeavesTheNextStepTheTimeThatTheLastOneTook) {
  StopWatch watch(kNow + 10s);
  EXPECT_FALSE(watch.enough(kNow + 2s));
  EXPECT_FALSE(watch.enough(kNow + 5s));
  EXPECT_FALSE(watch.enough(kNow + 7s));
  EXPECT_TRUE(watch.enough(kNow + 9s)) << "the next ends after 11 s";
}

TEST(StopWatch, WhatWasBeforeTheFirstStepIsNoStep) {
  StopWatch watch(kNow + 10s);
  EXPECT_FALSE(watch.enough(kNow + 8s)) << "q-FedAvg's loss of all examples came first";
  EXPECT_FALSE(watch.enough(kNow + 8500ms));
  EXPECT_TRUE(StopWatch(kNow).enough(kNow));
}

TEST(ShareOfTime, IsAllOfItWithNobodyBehind) {
  EXPECT_EQ(share_of_time(kNow, kNow + 12s, 0, 1), kNow + 12s);
  EXPECT_EQ(share_of_time(kNow, kNow - 1s, 3, 1), kNow - 1s);
}

TEST(ShareOfTime, LeavesEachThatWaitsAsMuch) {
  Instant now = kNow;
  for (std::size_t queued = 4; queued-- > 0;) {
    now = share_of_time(now, kNow + 12s, queued, 1);
    EXPECT_EQ(now, kNow + (4 - static_cast<int>(queued)) * 3s);
  }
  EXPECT_EQ(share_of_time(kNow, kNow + 12s, 2, 2), kNow + 6s);
}

}  // namespace
}  // namespace muster::device
