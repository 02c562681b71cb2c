// tests/aggregator/resume_test.cc: what an aggregator finds at its start: room, an end, nothing
#include <gtest/gtest.h>

#include <fstream>

#include "aggregator/shell/resume_from_journal.h"
#include "tests/support/temporary_folder.h"

namespace muster::agg {
namespace {

class ResumeFromJournal : public testing::Test {
 protected:
  ResumeFromJournal() {
    federation_.storage_path = folder_.path().string();
    start_.parameters.assign(1000, 0.0F);
  }
  Result<Journaled> resume() {
    auto strategy = make_strategy(federation_.strategy, start_.parameters.size());
    return resume_from_journal(
        federation_, "uid",
        {.evaluate = [](std::span<const float>) { return learning::Evaluation{.loss = 1, .accuracy = 0}; },
         .save = [](const RoundView&) { return Status(); },
         .enough = {}},
        **strategy, start_);
  }

  TemporaryFolder folder_;
  spec::Federation federation_;
  CommittedRound start_;
};

TEST_F(ResumeFromJournal, BeginsOneInTheFolderOfTheModels) {
  const auto journaled = resume();
  ASSERT_TRUE(journaled) << journaled.error().message;
  EXPECT_NE(journaled->journal, nullptr);
  EXPECT_EQ(journaled->updates, 0U);
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "journal/updates-00000001.journal"));
}

TEST_F(ResumeFromJournal, WithoutAFolderThereIsNone) {
  federation_.storage_path.clear();
  const auto journaled = resume();
  ASSERT_TRUE(journaled) << journaled.error().message;
  EXPECT_EQ(journaled->journal, nullptr);
}

TEST_F(ResumeFromJournal, NoRoomForOneRoundIsToldBeforeItBegins) {
  federation_.cohort.size = 2'000'000'000;  // of 4 KB each: no disk has so much
  const auto journaled = resume();
  ASSERT_FALSE(journaled);
  EXPECT_EQ(journaled.error().code, Code::kResourceExhausted);
  EXPECT_NE(journaled.error().message.find("spec.aggregator.storage"), std::string::npos);
  EXPECT_NE(journaled.error().message.find("spec.cohort.size"), std::string::npos)
      << journaled.error().message;
}

TEST_F(ResumeFromJournal, OfAFederationThatHasEndedNothingIsLeft) {
  std::filesystem::create_directories(folder_.path() / "journal");
  std::ofstream(folder_.path() / "journal/updates-00000001.journal") << "left by a kill";
  start_.finished = true;
  const auto journaled = resume();
  ASSERT_TRUE(journaled) << journaled.error().message;
  EXPECT_EQ(journaled->journal, nullptr);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "journal"));
}

TEST(JournalVolume, IsThatOfThreeCohortsAndMoreWhereLateUpdatesCount) {
  spec::Federation federation;
  federation.cohort = {.size = 10, .over_selection = 1.5, .minimum = 1};
  const std::uint64_t update = 4 * 1'000'000;
  const JournalVolume usual = journal_volume(federation, 1'000'000);
  EXPECT_GE(usual.round, 15 * update);
  EXPECT_LT(usual.round, 16 * update);
  EXPECT_NEAR(static_cast<double>(usual.most), 45.0 * static_cast<double>(update), 2e7);
  federation.stragglers.policy = "Buffer";
  EXPECT_NEAR(static_cast<double>(journal_volume(federation, 1'000'000).most),
              105.0 * static_cast<double>(update), 2e7);
  federation.stragglers.policy = "Drop";
  federation.strategy = {.name = "FedBuff", .buffer_size = 4};
  federation.cohort = {.size = 10};
  EXPECT_NEAR(static_cast<double>(journal_volume(federation, 1'000'000).most),
              28.0 * static_cast<double>(update), 2e7);
}

}  // namespace
}  // namespace muster::agg
