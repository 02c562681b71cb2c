// tests/aggregator/counted_test.cc: from an accepted update to one that counts
#include "aggregator/round/counted.h"

#include <gmock/gmock.h>

namespace muster::agg {
namespace {

using testing::ElementsAre;

TEST(CountedUpdates, AnAcceptedUpdateCountsOnceItsModelIsCommitted) {
  CountedUpdates counted({0, 0});
  counted.taken(1, 1);
  EXPECT_TRUE(counted.undecided(1));
  counted.sealed();
  EXPECT_EQ(counted.last(1), 0);
  EXPECT_THAT(counted.with_sealed(), ElementsAre(0, 1)) << "what the checkpoint of that model says";
  EXPECT_TRUE(counted.undecided(1));
  counted.committed();
  EXPECT_EQ(counted.last(1), 1);
  EXPECT_FALSE(counted.undecided(1));
}

TEST(CountedUpdates, WhatComesWhileAModelIsMadeIsForTheNextOne) {
  CountedUpdates counted({3, 4});
  counted.taken(0, 5);
  counted.sealed();
  counted.taken(1, 5);
  counted.committed();
  EXPECT_EQ(counted.last(0), 5);
  EXPECT_EQ(counted.last(1), 4);
  EXPECT_TRUE(counted.undecided(1));
}

TEST(CountedUpdates, AnAggregateThatComesToNothingCountsForNobody) {
  CountedUpdates counted({0});
  counted.taken(0, 7);
  counted.discarded();
  EXPECT_FALSE(counted.undecided(0));
  counted.sealed();
  counted.committed();
  EXPECT_EQ(counted.last(0), 0);
}

TEST(CountedUpdates, TheNewestOfAClientsTasksIsTheOneThatIsTold) {
  CountedUpdates counted({0});
  counted.taken(0, 4);
  counted.taken(0, 2);  // a late one, of an earlier round
  counted.sealed();
  counted.committed();
  EXPECT_EQ(counted.last(0), 4);
}

}  // namespace
}  // namespace muster::agg
