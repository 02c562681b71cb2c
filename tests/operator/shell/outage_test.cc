// tests/operator/shell/outage_test.cc: how often a server that is away is asked, and by whom
#include "operator/shell/outage.h"

#include <gtest/gtest.h>

namespace muster::op {
namespace {

using namespace std::chrono_literals;

TEST(Outage, NobodyWaitsWhileTheServerIsThere) {
  Outage outage;
  EXPECT_EQ(outage.wait(Instant{}), 0ms);
  EXPECT_FALSE(outage.answered());
}

TEST(Outage, OneAsksForAThousandEverMoreSeldom) {
  Outage outage;
  Instant now = Instant{} + 1h;
  EXPECT_TRUE(outage.failed(now));
  for (int on_their_way = 0; on_their_way < 100; ++on_their_way) EXPECT_FALSE(outage.failed(now + 10ms));
  int asked = 0;
  for (int tick = 0; tick < 6'000; ++tick, now += 10ms) {  // a minute
    for (int object = 0; object < 10; ++object) {
      const auto pause = outage.wait(now);
      EXPECT_LE(pause, Outage::kPauseMax);
      if (pause.count() > 0) continue;
      ++asked;
      outage.failed(now);
    }
  }
  EXPECT_LE(asked, 20);
  EXPECT_GE(asked, 10);
}

TEST(Outage, OnceItAnswersNobodyWaitsAndTheNextOutageBeginsAnew) {
  Outage outage;
  const Instant now = Instant{} + 1h;
  for (int i = 0; i < 10; ++i) outage.failed(now + i * 10s);
  EXPECT_GT(outage.wait(now + 90s), 1s);
  EXPECT_TRUE(outage.answered());
  EXPECT_EQ(outage.wait(now + 90s), 0ms);
  EXPECT_TRUE(outage.failed(now + 200s));
  EXPECT_LE(outage.wait(now + 200s), Outage::kPauseMin);
}

TEST(Outage, WhileOneAsksTheOthersWait) {
  Outage outage;
  const Instant now = Instant{} + 1h;
  outage.failed(now);
  EXPECT_EQ(outage.wait(now + 1s), 0ms);
  EXPECT_GT(outage.wait(now + 1s), 0ms);
  EXPECT_GT(outage.pause(now + 1s), 0ms);
}

}  // namespace
}  // namespace muster::op
