// tests/worker/peer_watch_test.cc: whole rings of watches, their notes carried by hand
#include "worker/transport/peer_watch.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "common/pods/standstill.h"

namespace muster::worker {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr int kSilentBeats = 17;  // that the default allows

// Watches of a ring. Notes travel in the order in which they were sent; a dead or frozen rank hears none.
class SimRing {
 public:
  explicit SimRing(int size) : mute_(static_cast<std::size_t>(size)), waits_(mute_.size(), 1) {
    for (int rank = 0; rank < size; ++rank)
      watches_.emplace_back(fmt::format("rank {}", rank), fmt::format("rank {}", (rank + 1) % size));
  }

  PeerWatch& of(int rank) { return watches_[at(rank)]; }
  void post(int from, const std::optional<Note>& note) {
    if (note) notes_.push_back({from, *note});
  }
  void deliver() {
    for (; !notes_.empty(); notes_.pop_front()) {
      ++delivered_;
      const int to = before(notes_.front().from);
      if (!mute_[at(to)]) post(to, of(to).heard(notes_.front().note));
    }
  }
  // Time passes: every rank that runs hears what came, then ticks.
  void beats(int count) {
    for (int beat = 0; beat < count; ++beat) {
      for (int rank = 0; rank < size(); ++rank) {
        if (!mute_[at(rank)]) post(rank, of(rank).tick(waits_[at(rank)]));
      }
      deliver();
    }
  }
  void freeze(int rank) { mute_[at(rank)] = true; }
  void die(int rank) {
    freeze(rank);
    post(before(rank), of(before(rank)).closed(false));
  }
  void stay_away(int rank) { waits_[at(rank)] = 2; }  // its thread does not come to the call
  [[nodiscard]] int before(int rank) const { return (rank + size() - 1) % size(); }
  [[nodiscard]] int size() const { return static_cast<int>(watches_.size()); }
  [[nodiscard]] int delivered() const { return delivered_; }

 private:
  struct Sent {
    int from;
    Note note;
  };
  static std::size_t at(int rank) { return static_cast<std::size_t>(rank); }

  std::vector<PeerWatch> watches_;
  std::vector<bool> mute_;
  std::vector<std::uint32_t> waits_;
  std::deque<Sent> notes_;
  int delivered_ = 0;
};

TEST(PeerWatch, AllSurvivorsNameTheRankThatDiedThoughTheyLeaveOneByOne) {
  for (int dead = 0; dead < 5; ++dead) {
    SimRing ring(5);
    ring.beats(3);
    ring.die(dead);
    ring.deliver();
    for (int left = 0; left < 5; ++left) {
      if (left == dead) continue;
      ring.post(left, ring.of(left).leave(unavailable("because of it")));
      ring.die(left);
      ring.deliver();
    }
    for (int rank = 0; rank < 5; ++rank) {
      if (rank == dead) continue;
      EXPECT_EQ(ring.of(rank).verdict(), unavailable(fmt::format("rank {} closed the connection", dead)));
    }
  }
}

TEST(PeerWatch, AFrozenRankIsNamedByAllWithinASecond) {
  static_assert(PeerWatch::kBeat * (kSilentBeats + 2) < std::chrono::seconds(1));
  SimRing ring(4);
  ring.beats(3);
  ring.freeze(2);
  ring.beats(kSilentBeats);
  EXPECT_FALSE(ring.of(1).verdict());
  ring.beats(1);
  for (const int rank : {0, 1, 3}) {
    EXPECT_THAT(ring.of(rank).verdict()->message, HasSubstr("rank 2 stands still"));
    const auto told = standstill_in(ring.of(rank).verdict()->message);
    ASSERT_TRUE(told) << "as the operator reads it";
    EXPECT_EQ(told->rank, 2);
    EXPECT_FALSE(told->hung);
  }
}

TEST(PeerWatch, ASuccessorThatHasNotBegunMayStillLookForItsOwnNeighbours) {
  PeerWatch watch("rank 0", "rank 1");
  for (int beat = 0; beat < 10 * kSilentBeats; ++beat) ASSERT_EQ(watch.tick(1)->kind, Note::Kind::kBeat);
}

// The beats without a note after which `watch` gives its verdict.
int silence_to_verdict(PeerWatch& watch) {
  for (int beats = 1;; ++beats) {
    watch.tick(1);
    if (watch.verdict()) return beats;
  }
}

TEST(PeerWatch, ASilenceThatWasOutlivedBuysPatienceForAWhile) {
  const Note beat{.kind = Note::Kind::kBeat};
  PeerWatch crowded("rank 0", "rank 1");
  crowded.heard(beat);
  for (int i = 0; i < 10; ++i) crowded.tick(1);
  crowded.heard(beat);
  PeerWatch starved = crowded;  // itself, besides
  starved.tick(1, 1'000);
  starved.heard(beat);
  PeerWatch calm_again = starved;
  for (int i = 0; i < 10 * PeerWatch::kForgetBeats; ++i) {
    calm_again.tick(1);
    calm_again.heard(beat);
  }
  EXPECT_EQ(silence_to_verdict(crowded), PeerWatch::kPatience * 10 + 1);
  EXPECT_EQ(silence_to_verdict(starved), PeerWatch::kSilentBeatsMax + 1);
  EXPECT_EQ(silence_to_verdict(calm_again), kSilentBeats + 1);
}

TEST(PeerWatch, ItsTimeoutIsWithinWhichALossIsKnown) {
  const Note beat{.kind = Note::Kind::kBeat};
  for (const milliseconds timeout : {milliseconds(1'000), milliseconds(3'000), milliseconds(60'000)}) {
    PeerWatch watch("rank 0", "rank 1", timeout);
    watch.heard(beat);
    const milliseconds known = PeerWatch::kBeat * silence_to_verdict(watch);
    EXPECT_LT(known, timeout);
    EXPECT_GT(known, timeout - PeerWatch::kBeat * 4);
  }
}

// A live migration of a virtual machine: 1.5 s.
TEST(PeerWatch, AStandstillShorterThanItsTimeoutIsOutlived) {
  const Note beat{.kind = Note::Kind::kBeat};
  PeerWatch by_default("rank 0", "rank 1");
  PeerWatch patient("rank 0", "rank 1", milliseconds(3'000));
  for (PeerWatch* watch : {&by_default, &patient}) {
    watch->heard(beat);
    for (int beats = 0; beats < milliseconds(1'500) / PeerWatch::kBeat; ++beats) watch->tick(1);
    watch->heard(beat);
  }
  EXPECT_THAT(by_default.verdict()->message, HasSubstr("nothing was heard of it for 850 ms"));
  EXPECT_FALSE(patient.verdict());
}

TEST(PeerWatch, PatienceNeverCutsALongTimeoutShort) {
  const Note beat{.kind = Note::Kind::kBeat};
  PeerWatch watch("rank 0", "rank 1", milliseconds(60'000));
  watch.heard(beat);
  for (int i = 0; i < 100; ++i) watch.tick(1);
  watch.heard(beat);
  EXPECT_EQ(silence_to_verdict(watch), 1'200 - PeerWatch::kTellingBeats + 1);
}

TEST(PeerWatch, OneBeatInTimeIsEnough) {
  PeerWatch watch("rank 0", "rank 1");
  for (int round = 0; round < 10; ++round) {
    EXPECT_FALSE(watch.heard(Note{.kind = Note::Kind::kBeat}));
    for (int beat = 0; beat < kSilentBeats; ++beat) ASSERT_EQ(watch.tick(1)->kind, Note::Kind::kBeat);
  }
}

TEST(PeerWatch, ALateCallNamesTheRankThatDidNotComeWhoeverAsks) {
  for (const int asking : {0, 1, 2}) {
    SimRing ring(4);
    ring.stay_away(3);
    ring.beats(4);
    ring.post(asking, ring.of(asking).ask());
    ring.deliver();
    for (int rank = 0; rank < 4; ++rank) {
      EXPECT_THAT(ring.of(rank).verdict()->message, HasSubstr("rank 3 stands still"))
          << "asked by " << asking;
      const auto told = standstill_in(ring.of(rank).verdict()->message);
      ASSERT_TRUE(told) << "as the operator reads it";
      EXPECT_EQ(told->rank, 3);
      EXPECT_TRUE(told->hung);
    }
  }
}

TEST(PeerWatch, AQuestionGoesRoundOnceWhenAllRanksHaveCome) {
  SimRing ring(4);
  ring.post(1, ring.of(1).ask());
  ring.post(2, ring.of(2).ask());
  ring.deliver();
  EXPECT_EQ(ring.delivered(), 4);
  for (int rank = 0; rank < 4; ++rank) EXPECT_FALSE(ring.of(rank).verdict());
}

TEST(PeerWatch, ARankThatIsDoneIsMissedByNobody) {
  SimRing ring(3);
  ring.beats(3);
  ring.post(1, ring.of(1).leave({}));
  ring.deliver();
  ring.die(1);
  ring.beats(2 * kSilentBeats);
  EXPECT_FALSE(ring.of(0).verdict());
  EXPECT_FALSE(ring.of(2).verdict());
}

TEST(PeerWatch, AReasonToLeaveReachesAllOthers) {
  SimRing ring(4);
  const Error why = failed_precondition("rank 2 ended: the loss is nan");
  ring.post(2, ring.of(2).leave(why));
  ring.deliver();
  for (int rank = 0; rank < 4; ++rank) EXPECT_EQ(ring.of(rank).verdict(), why);
  EXPECT_FALSE(ring.of(2).leave(unavailable("again")));
}

TEST(PeerWatch, GarbageAndASilentNetworkAreNamedAsSuch) {
  PeerWatch watch("rank 0", "rank 1");
  EXPECT_EQ(watch.heard(std::nullopt)->kind, Note::Kind::kLost);
  EXPECT_EQ(watch.verdict()->message, "rank 1 sent something that is no note of a worker");
  PeerWatch other("rank 0", "rank 1");
  EXPECT_EQ(other.closed(true)->reason.message,
            "rank 1 does not answer any more: its machine or network is gone");
}

}  // namespace
}  // namespace muster::worker
