// tests/common/random_test.cc: draws are a function of their key and have the moments they should
#include "common/base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace muster {
namespace {

TEST(Random, SameKeySameDraws) {
  Random a(hash_key(1, 2, 3));
  Random b(hash_key(1, 2, 3));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next(), b.next());
  EXPECT_NE(hash_key(1, 2), hash_key(2, 1));
}

TEST(Random, NormalAndGammaHaveTheirMoments) {
  Random random(hash_key(7));
  double sum = 0;
  double squares = 0;
  double gamma = 0;
  constexpr int kDraws = 200'000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
    gamma += random.gamma(0.5);
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.01);
  EXPECT_NEAR(squares / kDraws, 1, 0.02);
  EXPECT_NEAR(gamma / kDraws, 0.5, 0.01);
}

TEST(Random, ShuffleIsAPermutation) {
  std::vector<int> items(1000);
  std::iota(items.begin(), items.end(), 0);
  std::vector<int> shuffled = items;
  Random(hash_key(3)).shuffle<int>(shuffled);
  EXPECT_NE(shuffled, items);
  std::sort(shuffled.begin(), shuffled.end());
  EXPECT_EQ(shuffled, items);
}

}  // namespace
}  // namespace muster
