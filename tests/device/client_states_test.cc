// tests/device/client_states_test.cc: one suite for what clients keep, in memory and in files
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "device/client_states.h"
#include "device/shell/state_files.h"
#include "tests/support/temporary_folder.h"

namespace muster::device {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

class States : public testing::TestWithParam<bool> {
 protected:
  States() { open(); }
  void open() {
    if (GetParam()) {
      auto files = StateFiles::open(folder_.path(), "uid-1", 2);
      ASSERT_TRUE(files) << files.error().message;
      states_ = std::move(*files);
    } else if (states_ == nullptr) {
      states_ = std::make_unique<MemoryStates>();
    }
  }
  ClientStates::Settled settle(std::int32_t client, std::int64_t counted) {
    auto settled = states_->settle(client, counted);
    EXPECT_TRUE(settled) << settled.error().message;
    return settled ? std::move(*settled) : ClientStates::Settled{};
  }
  TemporaryFolder folder_;
  std::unique_ptr<ClientStates> states_;
};

TEST_P(States, AClientThatNeverCountedBeginsWithNothing) {
  const auto settled = settle(0, 0);
  EXPECT_THAT(settled.values, IsEmpty());
  EXPECT_FALSE(settled.lost);
}

TEST_P(States, AProposalGoesOnlyWhenItsRoundCounts) {
  ASSERT_TRUE(states_->propose(0, 3, {1, 2}));
  EXPECT_THAT(settle(0, 3).values, ElementsAre(1, 2));
  ASSERT_TRUE(states_->propose(0, 5, {3, 4}));
  EXPECT_THAT(settle(0, 3).values, ElementsAre(1, 2)) << "round 5 came to nothing";
  EXPECT_TRUE(settle(0, 5).lost) << "so what was proposed for it is forgotten";
}

TEST_P(States, TheSameRoundPlayedAgainTakesThePlaceOfTheFirstTime) {
  ASSERT_TRUE(states_->propose(0, 3, {1, 2}));
  ASSERT_TRUE(states_->propose(0, 3, {5, 6}));
  EXPECT_THAT(settle(0, 3).values, ElementsAre(5, 6));
}

TEST_P(States, AnAggregatorThatKnowsNothingMakesTheClientBeginAnew) {
  ASSERT_TRUE(states_->propose(0, 3, {1, 2}));
  const auto settled = settle(0, 0);
  EXPECT_THAT(settled.values, IsEmpty());
  EXPECT_FALSE(settled.lost) << "both begin anew";
}

TEST_P(States, WhatTheAggregatorKnowsAndTheClientDoesNotIsLost) {
  const auto settled = settle(4, 9);
  EXPECT_THAT(settled.values, IsEmpty());
  EXPECT_TRUE(settled.lost);
}

TEST_P(States, OneClientsAreNotAnothers) {
  ASSERT_TRUE(states_->propose(1, 3, {1, 2}));
  ASSERT_TRUE(states_->propose(11, 3, {3, 4}));
  static_cast<void>(settle(1, 0));
  EXPECT_THAT(settle(11, 3).values, ElementsAre(3, 4));
  states_->forget(10, 5);
  EXPECT_TRUE(settle(11, 3).lost);
}

INSTANTIATE_TEST_SUITE_P(All, States, testing::Bool(),
                         [](const auto& test) { return test.param ? "InFiles" : "InMemory"; });

class StateFilesTest : public States {};
INSTANTIATE_TEST_SUITE_P(All, StateFilesTest, testing::Values(true));

TEST_P(StateFilesTest, SurvivesTheProcess) {
  ASSERT_TRUE(states_->propose(0, 3, {1, 2}));
  ASSERT_TRUE(states_->propose(0, 4, {3, 4}));
  open();
  EXPECT_THAT(settle(0, 4).values, ElementsAre(3, 4));
}

TEST_P(StateFilesTest, ADamagedFileIsAsGoodAsNone) {
  ASSERT_TRUE(states_->propose(0, 3, {1, 2}));
  const fs::path file = folder_.path() / "uid-1/client-0/round-00000003.safetensors";
  ASSERT_TRUE(fs::exists(file));
  fs::resize_file(file, fs::file_size(file) - 1);
  EXPECT_TRUE(settle(0, 3).lost);
  ASSERT_TRUE(states_->propose(0, 5, {1, 2, 3}));
  EXPECT_TRUE(settle(0, 5).lost) << "of another model";
}

TEST_P(StateFilesTest, AnotherObjectHasItsOwn) {
  ASSERT_TRUE(states_->propose(0, 3, {1, 2}));
  auto other = StateFiles::open(folder_.path(), "uid-2", 2);
  ASSERT_TRUE(other);
  EXPECT_TRUE((*other)->settle(0, 3)->lost);
  for (const char* hostile : {"", "..", "a/b", ".hidden"})
    EXPECT_FALSE(StateFiles::open(folder_.path(), hostile, 2)) << hostile;
}

TEST_P(StateFilesTest, LeavesNothingOnceTheFederationHasEnded) {
  ASSERT_TRUE(states_->propose(0, 3, {1, 2}));
  ASSERT_TRUE(states_->propose(1, 3, {1, 2}));
  states_->forget(0, 1);
  EXPECT_FALSE(fs::exists(folder_.path() / "uid-1/client-0"));
  EXPECT_TRUE(fs::exists(folder_.path() / "uid-1/client-1")) << "another pod's";
  states_->forget(1, 1);
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_P(StateFilesTest, AFolderThatCannotBeWrittenIsAnError) {
  auto files = StateFiles::open("/proc/nowhere", "uid-1", 2);
  ASSERT_TRUE(files);
  const Status kept = (*files)->propose(0, 1, {1, 2});
  ASSERT_FALSE(kept);
  EXPECT_NE(kept.error().message.find("/proc/nowhere"), std::string::npos) << kept.error().message;
}

}  // namespace
}  // namespace muster::device
