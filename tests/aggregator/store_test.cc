// tests/aggregator/store_test.cc: rounds on disk: resumed from, refused, and the files at the end
#include "aggregator/store/round_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

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
  federation_.training.dataset.path = "/elsewhere";
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

}  // namespace
}  // namespace muster::agg
