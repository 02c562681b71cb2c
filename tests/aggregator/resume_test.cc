// tests/aggregator/resume_test.cc: what an aggregator finds at its start: room, an end, nothing
#include <gtest/gtest.h>

#include <fstream>

#include "aggregator/shell/resume_from_journal.h"
#include "aggregator/store/posix_disk.h"
#include "learning/sha256.h"
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
        {.evaluate = [](std::span<const float>,
                        std::int64_t) { return learning::Evaluation{.loss = 1, .accuracy = 0.5}; },
         .save =
             [this](const RoundView& view) {
               saved_.push_back(view.round);
               return Status();
             },
         .enough = {}},
        **strategy, start_);
  }

  // As an aggregator leaves it that is killed after it closed `rounds` of one update each.
  void leave_journal(std::int64_t rounds) {
    auto disk = open_posix_disk(folder_.path() / "journal");
    ASSERT_TRUE(disk) << disk.error().message;
    Recovered recovered;
    auto journal = Journal::open(std::move(*disk),
                                 {.owner = {.uid = "uid",
                                            .fingerprint = federation_fingerprint(federation_),
                                            .clients = federation_.clients,
                                            .parameters = start_.parameters.size()},
                                  .place = "j",
                                  .salt = 1},
                                 0, recovered);
    ASSERT_TRUE(journal) << journal.error().message;
    ASSERT_TRUE((*journal)->start_file(0, 1, {}));
    const std::vector<float> values(start_.parameters.size(), 1.0F);
    for (std::int64_t round = 1; round <= rounds; ++round) {
      const auto sequence = static_cast<std::uint64_t>(round);
      const std::string id = "task" + std::to_string(round);
      ASSERT_TRUE((*journal)->append(
          UpdateKept{.sequence = sequence,
                     .id = id,
                     .client = 0,
                     .number = round,
                     .copies = 1,
                     .examples = 1,
                     .sha256 = learning::sha256_hex(std::as_bytes(std::span<const float>(values)))},
          values));
      ASSERT_TRUE((*journal)->append(
          RoundClosed{.round = round, .cycle = sequence, .settled = sequence, .taken = {{sequence, id}}}));
    }
    ASSERT_TRUE((*journal)->sync());
  }

  TemporaryFolder folder_;
  spec::Federation federation_;
  CommittedRound start_;
  std::vector<std::int64_t> saved_;
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

// Its updates may be all that is left of the other's training.
TEST_F(ResumeFromJournal, WhatIsAnotherObjectsIsSetAsideAndStays) {
  leave_journal(1);
  federation_.strategy.name = "FedAvgM";  // another training, by its fingerprint
  for (int start = 0; start < 2; ++start) {
    const auto journaled = resume();
    ASSERT_TRUE(journaled) << journaled.error().message;
    EXPECT_EQ(start_.round, 0);
    if (start > 0) continue;
    ASSERT_EQ(journaled->recovered.notes.size(), 2U);
    EXPECT_NE(journaled->recovered.notes[1].find("set-aside-1"), std::string::npos);
  }
  const auto aside = folder_.path() / "journal/updates-00000001.journal.set-aside-1";
  EXPECT_GT(std::filesystem::file_size(aside), start_.parameters.size() * sizeof(float));
  start_.finished = true;
  ASSERT_TRUE(resume());
  EXPECT_TRUE(std::filesystem::exists(aside));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "journal/updates-00000001.journal"));
}

// The checkpoint is good enough already: the process was killed before it could say so.
TEST_F(ResumeFromJournal, BehindACheckpointThatReachedTheTargetNothingIsMadeAndNothingIsLost) {
  for (const char* const strategy : {"FedAvg", "FedBuff"}) {
    SCOPED_TRACE(strategy);
    federation_.strategy = {.name = strategy};
    federation_.target = spec::Target{.metric = "accuracy", .value = 0.4};
    leave_journal(3);
    const auto at_the_end = [&] {
      start_.round = 1;
      start_.parameters.assign(1000, 0.0F);
      start_.history = {{.at = 1, .loss = 1, .accuracy = 0.45}};
      return resume();
    };
    for (int start = 0; start < 2; ++start) {
      const auto journaled = at_the_end();
      ASSERT_TRUE(journaled) << journaled.error().message;
      EXPECT_EQ(start_.round, 1);
      EXPECT_TRUE(saved_.empty()) << "round " << saved_[0] << " was made behind the target";
    }
    federation_.target->value = 0.9;  // raised before it ended
    ASSERT_TRUE(at_the_end());
    EXPECT_EQ(start_.round, 3) << "what was closed went with the journal";
    EXPECT_EQ(saved_, strategy == std::string("FedAvg") ? (std::vector<std::int64_t>{2, 3})
                                                        : std::vector<std::int64_t>{3});
    saved_.clear();
    std::filesystem::remove_all(folder_.path() / "journal");
  }
}

TEST(JournalVolume, IsThatOfThreeCohortsAndMoreWhereLateUpdatesCount) {
  spec::Federation federation;
  federation.cohort = {.size = 10, .over_selection = 1.5, .minimum = 1};
  const std::uint64_t update = 4 * 1'000'000;
  const JournalVolume usual = journal_volume(federation, 1'000'000);
  EXPECT_GE(usual.round, 15 * update);
  EXPECT_LT(usual.round, 16 * update);
  EXPECT_NEAR(static_cast<double>(usual.most), 45.0 * static_cast<double>(update), 2e7);
  EXPECT_NEAR(static_cast<double>(usual.beside), 1.0 * static_cast<double>(update), 2e6) << "a model";
  federation.strategy.name = "FedAdam";
  EXPECT_NEAR(static_cast<double>(journal_volume(federation, 1'000'000).beside),
              3.0 * static_cast<double>(update), 2e6);
  federation.strategy.name = "Median";
  EXPECT_NEAR(static_cast<double>(journal_volume(federation, 1'000'000).beside),
              11.0 * static_cast<double>(update), 2e6)
      << "and the updates of a round";
  federation.strategy.name = "FedAvg";
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
