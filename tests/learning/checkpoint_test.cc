// tests/learning/checkpoint_test.cc: a training's files: resumed, pruned, refused, finished
#include "learning/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/learning/examples.h"

namespace muster::learning {
namespace {

namespace fs = std::filesystem;

const std::vector<Tensor> kTensors{{"dense1.weight", {2, 2}, 0, 4}, {"dense1.bias", {2}, 4, 2}};

TrainingState state_at(std::int64_t step) {
  TrainingState state{.step = step,
                      .epoch = 1,
                      .examples_into_epoch = 128,
                      .parameters = {1, 2, 3, 4, 5, 6},
                      .optimizer = {},
                      .history = {}};
  state.parameters[0] = static_cast<float>(step);
  state.optimizer.steps = step;
  state.optimizer.slots = {{"momentum", {6, 5, 4, 3, 2, 1}}};
  state.history = {{1, 2.302585092994046, std::nullopt}, {step, 0.1, 0.875}};
  return state;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

class Checkpoints : public testing::Test {
 protected:
  CheckpointStore store(const std::string& fingerprint = "abc", std::int64_t keep = 3,
                        const std::string& prefix = "step") {
    return CheckpointStore(
        {.folder = folder_.path() / "out", .prefix = prefix, .fingerprint = fingerprint, .keep = keep},
        kTensors);
  }
  fs::path file(const std::string& name) { return folder_.path() / "out" / name; }
  TemporaryFolder folder_;
};

TEST_F(Checkpoints, GiveBackTheNewestStateWhole) {
  auto checkpoints = store();
  ASSERT_TRUE(checkpoints.save(state_at(200)));
  ASSERT_TRUE(checkpoints.save(state_at(400)));
  const auto loaded = store().load_newest();
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->state, state_at(400));
  EXPECT_EQ(loaded->path, file("step-00000400.safetensors"));
  EXPECT_TRUE(loaded->skipped.empty());
}

TEST_F(Checkpoints, AreNoneInAFolderThatIsEmptyOrMissing) {
  const auto loaded = store().load_newest();
  ASSERT_TRUE(loaded);
  EXPECT_FALSE(loaded->state);
}

TEST_F(Checkpoints, KeepOnlyTheNewest) {
  auto checkpoints = store("abc", 2);
  for (const std::int64_t step : {200, 400, 600, 800}) ASSERT_TRUE(checkpoints.save(state_at(step)));
  EXPECT_EQ(names_in(folder_.path() / "out"),
            (std::vector<std::string>{"step-00000600.safetensors", "step-00000800.safetensors"}));
}

TEST_F(Checkpoints, PassOverDamagedFilesAndSayWhy) {
  auto checkpoints = store();
  for (const std::int64_t step : {200, 400, 600}) ASSERT_TRUE(checkpoints.save(state_at(step)));
  write_text(file("step-00000600.safetensors"), "");
  const std::string whole = read_text(file("step-00000400.safetensors"));
  write_text(file("step-00000400.safetensors"), whole.substr(0, whole.size() - 1));
  const auto loaded = checkpoints.load_newest();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->state->step, 200);
  ASSERT_EQ(loaded->skipped.size(), 2U);
  EXPECT_NE(loaded->skipped[0].find("step-00000600"), std::string::npos);
  EXPECT_NE(loaded->skipped[1].find("step-00000400"), std::string::npos);
}

TEST_F(Checkpoints, OfAnotherTrainingAreRefused) {
  ASSERT_TRUE(store("abc").save(state_at(200)));
  const auto loaded = store("xyz").load_newest();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Code::kFailedPrecondition);
  EXPECT_NE(loaded.error().message.find("\"abc\""), std::string::npos) << loaded.error().message;
  EXPECT_NE(loaded.error().message.find("\"xyz\""), std::string::npos) << loaded.error().message;
}

TEST_F(Checkpoints, OfAnotherModelAreDamaged) {
  ASSERT_TRUE(store().save(state_at(200)));
  const std::vector<Tensor> other{{"dense1.weight", {6}, 0, 6}};
  const CheckpointStore reader(
      {.folder = folder_.path() / "out", .prefix = "step", .fingerprint = "abc", .keep = 3}, other);
  const auto loaded = reader.load_newest();
  ASSERT_TRUE(loaded);
  EXPECT_FALSE(loaded->state);
  EXPECT_EQ(loaded->skipped.size(), 1U);
}

TEST_F(Checkpoints, SweepTemporariesThatACrashLeft) {
  auto checkpoints = store();
  ASSERT_TRUE(checkpoints.save(state_at(200)));
  write_text(file("step-00000300.safetensors.tmp"), "half");
  write_text(file("unrelated.tmp"), "mine");
  ASSERT_TRUE(checkpoints.save(state_at(400)));
  EXPECT_EQ(
      names_in(folder_.path() / "out"),
      (std::vector<std::string>{"step-00000200.safetensors", "step-00000400.safetensors", "unrelated.tmp"}));
}

TEST_F(Checkpoints, EndAsAModelAndAHistory) {
  auto checkpoints = store();
  ASSERT_TRUE(checkpoints.save(state_at(200)));
  ASSERT_TRUE(checkpoints.finish(state_at(300)));
  EXPECT_EQ(names_in(folder_.path() / "out"), (std::vector<std::string>{"history.csv", "model.safetensors"}));
  EXPECT_EQ(read_text(file("history.csv")), "at,loss,accuracy\n1,2.302585092994046,\n300,0.1,0.875\n");
  const auto model = read_safetensors(file("model.safetensors"));
  ASSERT_TRUE(model);
  ASSERT_EQ(model->tensors.size(), 2U);
  EXPECT_EQ(model->tensors[0].name, "dense1.weight");
  EXPECT_EQ(model->tensors[0].shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(model->metadata.at("step"), "300");
  EXPECT_FALSE(checkpoints.load_newest()->state) << "the same manifest again starts afresh";
}

TEST_F(Checkpoints, KnowTheModelThatTheirOwnerEndedWith) {
  const auto of = [this](const std::string& owner, const std::string& fingerprint = "abc") {
    return CheckpointStore({.folder = folder_.path() / "out", .fingerprint = fingerprint, .owner = owner},
                           kTensors);
  };
  TrainingState end = state_at(300);
  end.optimizer.slots.clear();  // no part of a model
  ASSERT_TRUE(of("uid-1").save(state_at(200)));
  ASSERT_TRUE(of("uid-1").finish(end));
  const auto again = of("uid-1").load_newest();
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(again->finished);
  EXPECT_EQ(again->state, end);
  EXPECT_EQ(again->path, file("model.safetensors"));
  EXPECT_FALSE(of("uid-2").load_newest()->state) << "the same manifest again starts afresh";
  EXPECT_FALSE(of("uid-1", "xyz").load_newest()->state);
  EXPECT_FALSE(of("").load_newest()->state);
}

TEST_F(Checkpoints, GoBeforeAFinishedModelThatIsDamaged) {
  CheckpointStore checkpoints({.folder = folder_.path() / "out", .fingerprint = "abc", .owner = "uid-1"},
                              kTensors);
  ASSERT_TRUE(checkpoints.finish(state_at(300)));
  ASSERT_TRUE(checkpoints.save(state_at(200)));
  write_text(file("model.safetensors"), "");
  const auto loaded = checkpoints.load_newest();
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_FALSE(loaded->finished);
  EXPECT_EQ(loaded->state->step, 200);
}

TEST_F(Checkpoints, OfRoundsAndOfStepsDoNotMix) {
  ASSERT_TRUE(store("abc", 3, "round").save(state_at(4)));
  EXPECT_FALSE(store().load_newest()->state);
  EXPECT_EQ(store("abc", 3, "round").load_newest()->path, file("round-00000004.safetensors"));
}

TEST_F(Checkpoints, KeepALossThatIsNotANumber) {
  TrainingState state = state_at(1);
  state.history = {{1, std::numeric_limits<double>::quiet_NaN(), std::nullopt}};
  ASSERT_TRUE(store().save(state));
  EXPECT_TRUE(std::isnan(store().load_newest()->state->history[0].loss));
}

TEST_F(Checkpoints, NameAFolderThatCannotBeMade) {
  write_text(folder_.path() / "out", "a file, not a folder");
  EXPECT_FALSE(store().save(state_at(1)));
  EXPECT_FALSE(store().load_newest());
}

TEST(OptimizerState, GoesBackIntoAnOptimizerOfTheSameKindOnly) {
  const auto first = make_optimizer({.name = "Adam"}, 3);
  std::vector<float> w{1, 2, 3};
  first->step(w, std::vector<float>{1, 1, 1});
  const auto state = capture(*first);
  const auto second = make_optimizer({.name = "Adam"}, 3);
  ASSERT_TRUE(restore(*second, state));
  EXPECT_EQ(capture(*second), state);
  EXPECT_FALSE(restore(*make_optimizer({.name = "SGD", .momentum = 0.9}, 3), state));
  EXPECT_FALSE(restore(*make_optimizer({.name = "Adam"}, 4), state));
}

TEST(Fingerprint, IsTheBeginningOfTheSha256) {
  EXPECT_EQ(fingerprint_of("abc"), "ba7816bf8f01cfea");  // FIPS 180-4, example B.1
}

}  // namespace
}  // namespace muster::learning
