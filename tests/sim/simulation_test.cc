// tests/sim/simulation_test.cc: seeded lives of the whole operator in a model cluster, under faults
//
// MUSTER_SIM_SEED=n replays one life and tells all of it; MUSTER_SIM_LIVES=n lives more of them;
// MUSTER_SIM_BUG=n looks for one planted bug alone.
#include <gtest/gtest.h>

#include "life.h"
#include "tests/support/from_environment.h"

namespace muster::sim {
namespace {

constexpr std::uint64_t kLives = 2000;  // in the suite; within as many a planted bug is found
constexpr int kFailuresMax = 5;

std::vector<std::string> more_kinds() {
  return {"kinds out of order",
          "watch expired",
          "pod configured",
          "a worker goes on in another membership",
          "a term begins",
          "lease lost",
          "a pod avoids a node",
          "HTTP 404",
          "HTTP 409",
          "HTTP 422",
          "user: create training",
          "user: create training with servers",
          "user: failure rules",
          "a server gets its part anew",
          "HTTP 403 for a right",
          "user: create plain",
          "user: create federated",
          "user: scale",
          "user: scale to 0",
          "user: suspend",
          "user: resume",
          "user: edit",
          "user: delete, background",
          "user: delete, foreground",
          "user: delete, orphan"};
}

std::string lines(const std::vector<std::string>& all) {
  std::string text;
  for (const std::string& line : all) text += "  " + line + "\n";
  return text;
}

// Sanitizers do not follow coroutines of our own.
class Simulation : public ::testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "needs a build without sanitizers";
#endif
  }
};

TEST_F(Simulation, WithoutFaultsEveryObjectEnds) {
  Tally tally;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const LifeReport report = live({.seed = seed, .planted = Planted::kNone, .faults = false}, tally);
    EXPECT_TRUE(report.violations.empty()) << "seed " << seed << "\n" << lines(report.violations);
  }
}

TEST_F(Simulation, AnApiServerThatIsAwayForFiveMinutesCostsNoPodAndNoWrite) {
  Tally tally;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const LifeReport report = live({.seed = seed, .faults = false, .outage = std::chrono::minutes(5)}, tally);
    EXPECT_TRUE(report.violations.empty()) << "seed " << seed << "\n" << lines(report.violations);
  }
  EXPECT_GE(tally.of("pods through an outage"), 20U);
}

TEST_F(Simulation, ASeedIsReplayedExactly) {
  Tally tally;
  for (std::uint64_t seed = 1; seed <= 3; ++seed)
    EXPECT_EQ(live({.seed = seed}, tally).fingerprint, live({.seed = seed}, tally).fingerprint)
        << "seed " << seed;
}

// Every kind of fault and of action has happened.
void expect_all_seen(const Tally& tally) {
  std::vector<std::string> wanted = more_kinds();
  for (int fault = 0; fault < static_cast<int>(Fault::kMax); ++fault)
    wanted.emplace_back(name_of(static_cast<Fault>(fault)));
  for (const std::string& what : wanted) EXPECT_GT(tally.of(what), 0U) << "never happened: " << what;
  for (const auto& [what, count] : tally.counts())
    std::printf("%10llu  %s\n", static_cast<unsigned long long>(count), what.c_str());
}

TEST_F(Simulation, LivesUnderFaults) {
  const std::uint64_t only = from_environment("MUSTER_SIM_SEED", 0);
  const std::uint64_t first = from_environment("MUSTER_SIM_FIRST", 1);
  const std::uint64_t lives = from_environment("MUSTER_SIM_LIVES", kLives);
  Tally tally;
  int failures = 0;
  for (std::uint64_t seed = only == 0 ? first : only;
       seed < (only == 0 ? first + lives : only + 1) && failures < kFailuresMax; ++seed) {
    const LifeReport report = live({.seed = seed, .trace = only != 0}, tally);
    if (report.violations.empty()) continue;
    ++failures;
    ADD_FAILURE() << "MUSTER_SIM_SEED=" << seed << " ./dev sim\n" << lines(report.violations);
  }
  if (only == 0 && lives >= kLives) expect_all_seen(tally);
}

bool finds(Planted bug, std::uint64_t seed) {
  Tally tally;
  return !live({.seed = seed, .planted = bug}, tally).violations.empty();
}

// That which has found it before, or else the first.
std::uint64_t search(Planted bug) {
  if (const std::uint64_t before = finding_seed(bug); finds(bug, before)) return before;
  std::uint64_t seed = 1;
  while (seed <= kLives && !finds(bug, seed)) ++seed;
  return seed;
}

// A simulation that finds nothing is worth nothing: a seed of 1 to 2000 must find each bug.
TEST_F(Simulation, FindsPlantedBugs) {
  const std::uint64_t only = from_environment("MUSTER_SIM_BUG", 0);
  for (int each = 1; each < static_cast<int>(Planted::kMax); ++each) {
    if (only != 0 && only != static_cast<std::uint64_t>(each)) continue;
    const auto bug = static_cast<Planted>(each);
    const std::uint64_t seed = search(bug);
    EXPECT_LE(seed, kLives) << "not found: " << name_of(bug);
    std::printf("seed %5llu finds: %s%s\n", static_cast<unsigned long long>(seed), name_of(bug),
                seed == finding_seed(bug) ? "" : " (write it to planted.cc: this search is slow)");
  }
}

}  // namespace
}  // namespace muster::sim
