// tests/aggregator/store_test.cc: rounds on disk: resumed from, refused, and the files at the end
#include "aggregator/store/round_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "aggregator/store/curve.h"
#include "tests/support/temporary_folder.h"

namespace muster::agg {
namespace {

namespace fs = std::filesystem;

class RoundStoreTest : public testing::Test {
 protected:
  RoundStoreTest() {
    federation_.storage_path = folder_.string();
    federation_.training.model.name = "softmax";
  }

  static RoundView view(const CommittedRound& round) {
    return {.round = round.round, .parameters = round.parameters, .history = round.history};
  }
  [[nodiscard]] RoundStore store() const { return {federation_, tensors_}; }
  static CommittedRound round(std::int64_t number) {
    return {.round = number,
            .parameters = {static_cast<float>(number), 2.0F, 3.0F},
            .history = {{.at = number, .loss = 0.5, .accuracy = 0.25}}};
  }

  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
  spec::Federation federation_;
  std::vector<learning::Tensor> tensors_{{.name = "weight", .shape = {3}, .offset = 0, .size = 3}};
};

TEST_F(RoundStoreTest, ResumesFromTheNewestRound) {
  RoundStore first = store();
  for (std::int64_t number = 1; number <= 5; ++number) ASSERT_TRUE(first.commit(view(round(number))));
  std::vector<std::string> notes;
  const auto loaded = store().load(notes);
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_TRUE(*loaded);
  EXPECT_EQ((*loaded)->round, 5);
  EXPECT_EQ((*loaded)->parameters, round(5).parameters);
  EXPECT_EQ((*loaded)->history, round(5).history);
}

TEST_F(RoundStoreTest, RefusesRoundsOfOtherDataAndKeepsTheNamesOfTheClasses) {
  RoundStore first(federation_, tensors_, "uid", {.digest = "abc", .class_names = {"cat", "dog"}});
  ASSERT_TRUE(first.commit(view(round(1))));
  const auto file = learning::read_safetensors(folder_ / "round-00000001.safetensors");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->metadata.at("classes"), R"(["cat","dog"])");
  std::vector<std::string> notes;
  EXPECT_TRUE(RoundStore(federation_, tensors_, "uid", {.digest = "abc", .class_names = {}}).load(notes));
  const auto other =
      RoundStore(federation_, tensors_, "uid", {.digest = "def", .class_names = {}}).load(notes);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kFailedPrecondition);
  EXPECT_NE(other.error().message.find("other data"), std::string::npos) << other.error().message;
}

TEST_F(RoundStoreTest, PassesOverADamagedRound) {
  RoundStore first = store();
  ASSERT_TRUE(first.commit(view(round(1))));
  ASSERT_TRUE(first.commit(view(round(2))));
  fs::resize_file(folder_ / "round-00000002.safetensors", 40);
  std::vector<std::string> notes;
  const auto loaded = store().load(notes);
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_TRUE(*loaded);
  EXPECT_EQ((*loaded)->round, 1);
  EXPECT_EQ(notes.size(), 1U);
}

TEST_F(RoundStoreTest, RefusesTheRoundsOfAnotherFederation) {
  RoundStore first = store();
  ASSERT_TRUE(first.commit(view(round(1))));
  federation_.training.optimizer.learning_rate = 0.5;
  std::vector<std::string> notes;
  const auto loaded = store().load(notes);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Code::kFailedPrecondition);
}

TEST_F(RoundStoreTest, MoreRoundsAreTheSameFederation) {
  RoundStore first = store();
  ASSERT_TRUE(first.commit(view(round(1))));
  federation_.rounds = 99;
  federation_.clients_per_pod = 7;
  federation_.cohort.max_examples_per_client = 1000;
  federation_.stragglers.deadline_seconds = 5;
  std::vector<std::string> notes;
  ASSERT_TRUE(store().load(notes));
}

TEST_F(RoundStoreTest, WhatAProgramsSidecarMayTakeIsNoOtherFederation) {
  federation_.training.program.emplace();
  ASSERT_TRUE(store().commit(view(round(1))));
  federation_.training.program->resources = {{"limits", {{"memory", "1Gi"}}}};
  std::vector<std::string> notes;
  ASSERT_TRUE(store().load(notes));
  federation_.training.program.reset();
  EXPECT_FALSE(store().load(notes));
}

TEST_F(RoundStoreTest, LeavesTheModelAndItsHistoryAlone) {
  RoundStore first = store();
  ASSERT_TRUE(first.commit(view(round(1))));
  ASSERT_TRUE(first.finish(view(round(2))));
  EXPECT_TRUE(fs::exists(folder_ / "model.safetensors"));
  EXPECT_TRUE(fs::exists(folder_ / "history.csv"));
  EXPECT_FALSE(fs::exists(folder_ / "round-00000001.safetensors"));
  std::vector<std::string> notes;
  const auto loaded = store().load(notes);
  ASSERT_TRUE(loaded);
  EXPECT_FALSE(*loaded);  // the same manifest applied again starts afresh
}

TEST_F(RoundStoreTest, TheSameObjectFindsItsEndAgain) {
  RoundStore first(federation_, tensors_, "uid-1");
  ASSERT_TRUE(first.commit(view(round(1))));
  ASSERT_TRUE(first.finish(view(round(2))));
  std::vector<std::string> notes;
  const auto again = RoundStore(federation_, tensors_, "uid-1").load(notes);
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_TRUE(*again);
  EXPECT_TRUE((*again)->finished);
  EXPECT_EQ((*again)->round, 2);
  EXPECT_EQ((*again)->history, round(2).history);
  const auto another = RoundStore(federation_, tensors_, "uid-2").load(notes);
  ASSERT_TRUE(another);
  EXPECT_FALSE(*another);  // the same manifest applied again starts afresh
}

// A federation without `rounds` adds points for ever, and writes them all with each checkpoint.
TEST(Curve, OfAFederationThatGoesOnForEverIsBounded) {
  constexpr std::int64_t kRounds = 100'000;
  constexpr std::int64_t kKilledAt = 54'321;
  std::vector<learning::HistoryPoint> curve;
  std::vector<learning::HistoryPoint> resumed;
  for (std::int64_t round = 1; round <= kRounds; ++round) {
    if (round == kKilledAt) resumed = curve;
    add_point(curve, {.at = round, .loss = 1.0 / static_cast<double>(round), .accuracy = {}});
    if (round >= kKilledAt) add_point(resumed, curve.back());
    ASSERT_LE(curve.size(), kCurvePointsMax);
  }
  EXPECT_GT(curve.size(), kCurvePointsMax / 2 - 2);
  EXPECT_EQ(curve.front().at, 1);
  EXPECT_EQ(curve.back().at, kRounds);
  for (std::size_t i = 0; i < 1000; ++i)
    EXPECT_EQ(curve[curve.size() - 1 - i].at, kRounds - static_cast<std::int64_t>(i))
        << "the newest all stay";
  EXPECT_TRUE(std::ranges::is_sorted(curve, std::ranges::less_equal{}, &learning::HistoryPoint::at));
  EXPECT_EQ(resumed, curve) << "as if it had not been killed";
}

}  // namespace
}  // namespace muster::agg
