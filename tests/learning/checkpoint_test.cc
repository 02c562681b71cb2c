// tests/learning/checkpoint_test.cc: a training's files: resumed, pruned, refused, finished
#include "learning/checkpoint.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>

#include "common/platform/file_descriptor.h"
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
  state.trained_seconds = 12.5;
  state.topologies = {{4, "HalvingDoubling"}, {3, "Ring"}};
  state.ledger.emplace().count({.begin = 0, .end = 40}, digest_of_all(40));
  state.ledger->close(1, 40);
  state.ledger->count({.begin = 0, .end = 8}, ~std::uint64_t{0});
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

TEST(DigestOf, DiffersWithParametersStepsAndEachSlot) {
  const TrainingState state = state_at(200);
  EXPECT_EQ(digest_of(state), digest_of(state_at(200)));
  TrainingState other = state;
  other.history.clear();
  EXPECT_EQ(digest_of(other), digest_of(state)) << "replicas keep no histories";
  other.optimizer.steps += 1;
  EXPECT_NE(digest_of(other), digest_of(state));
  other = state;
  other.optimizer.slots[0].values[5] = -1;
  EXPECT_NE(digest_of(other), digest_of(state));
  other = state;
  other.parameters[2] = -1;
  EXPECT_NE(digest_of(other), digest_of(state));
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

TEST_F(Checkpoints, ThatAreWholeButDoNotFitAreRefusedAndLeftAlone) {
  TrainingState narrow = state_at(200);
  ASSERT_TRUE(store().save(narrow));
  narrow.step = 300;
  ASSERT_TRUE(store().save(narrow));
  const auto before = names_in(folder_.path() / "out");
  const std::string bytes = read_text(file("step-00000300.safetensors"));
  const std::vector<std::pair<std::vector<Tensor>, std::string>> models{
      {{{"dense1.weight", {6}, 0, 6}}, "its tensor \"dense1.weight\" is [2, 2], this model's is [6]"},
      {{{"conv1.weight", {2, 2}, 0, 4}, {"dense1.bias", {2}, 4, 2}}, "it lacks tensor \"conv1.weight\""},
      {{{"dense1.weight", {2, 2}, 0, 4}}, "its tensor \"dense1.bias\" is none of this model's"}};
  for (const auto& [model, fact] : models) {
    const CheckpointStore reader({.folder = folder_.path() / "out", .fingerprint = "abc"}, model);
    const auto loaded = reader.load_newest();
    ASSERT_FALSE(loaded) << fact;
    EXPECT_EQ(loaded.error().code, Code::kFailedPrecondition);
    EXPECT_NE(
        loaded.error().message.find("step-00000300.safetensors: is a checkpoint of another model: " + fact),
        std::string::npos)
        << loaded.error().message;
  }
  EXPECT_EQ(names_in(folder_.path() / "out"), before);
  EXPECT_EQ(read_text(file("step-00000300.safetensors")), bytes);
}

TEST_F(Checkpoints, TensorsWithoutValuesComeBackInAnyOrderOfNames) {
  const std::vector<Tensor> model{{"z", {0}, 0, 0}, {"m", {2}, 0, 2}, {"b", {0, 3}, 2, 0}, {"a", {0}, 2, 0}};
  CheckpointStore kept({.folder = folder_.path() / "out", .fingerprint = "abc"}, model);
  TrainingState state = state_at(200);
  state.parameters = {1, 2};
  state.optimizer.slots = {{"momentum", {3, 4}}};
  ASSERT_TRUE(kept.save(state));
  const auto loaded = kept.load_newest();
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_TRUE(loaded->state);
  EXPECT_EQ(loaded->state->parameters, state.parameters);
  EXPECT_EQ(loaded->state->optimizer.slots.at(0).values, (std::vector<float>{3, 4}));
}

TEST_F(Checkpoints, OfATypeThatIsNotReadAreRefused) {
  const std::string header = R"({"dense1.weight":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}})";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  fs::create_directories(folder_.path() / "out");
  write_text(file("step-00000300.safetensors"), bytes + header + "xx");
  const auto loaded = store().load_newest();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Code::kFailedPrecondition);
  EXPECT_NE(loaded.error().message.find("is BF16, only F32 is read"), std::string::npos)
      << loaded.error().message;
}

TEST_F(Checkpoints, OfOtherDataAreRefusedWithBothDigests) {
  const auto on = [this](const std::string& digest) {
    return CheckpointStore({.folder = folder_.path() / "out", .fingerprint = "abc", .data_digest = digest},
                           kTensors);
  };
  const std::string first = std::string(20, '1') + std::string(44, 'f');
  const std::string second = std::string(20, '2') + std::string(44, 'f');
  ASSERT_TRUE(on(first).save(state_at(200)));
  EXPECT_EQ(on(first).load_newest()->state, state_at(200));
  EXPECT_EQ(on("").load_newest()->state, state_at(200));
  const auto loaded = on(second).load_newest();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Code::kFailedPrecondition);
  EXPECT_NE(
      loaded.error().message.find("its digest is 1111111111111111, that of the data now 2222222222222222)"),
      std::string::npos)
      << loaded.error().message;
  ASSERT_TRUE(store("abc", 1).save(state_at(300)));
  EXPECT_EQ(on(second).load_newest()->state, state_at(300)) << "of a version that stored no digest";
}

// Workers of a release that kept no ledger refuse fields of the state that they do not know, but not entries
// of the metadata.
TEST_F(Checkpoints, KeepTheLedgerBesideTheState) {
  ASSERT_TRUE(store().save(state_at(200)));
  const auto written = *read_safetensors(file("step-00000200.safetensors"));
  EXPECT_EQ(written.metadata.at("state").find("ledger"), std::string::npos);
  const auto rewrite = [&](const std::string& ledger) {
    std::vector<NamedTensor> tensors;
    for (const auto& tensor : written.tensors) tensors.push_back({tensor.name, tensor.shape, tensor.values});
    auto metadata = written.metadata;
    metadata["ledger"] = ledger;
    metadata["of a release to come"] = "anything";
    if (ledger.empty()) metadata.erase("ledger");
    return write_safetensors(file("step-00000200.safetensors"), tensors, metadata);
  };
  ASSERT_TRUE(rewrite(written.metadata.at("ledger")));
  EXPECT_EQ(store().load_newest()->state, state_at(200)) << "what it does not know it passes over";
  ASSERT_TRUE(rewrite(""));
  TrainingState without = state_at(200);
  without.ledger.reset();
  EXPECT_EQ(store().load_newest()->state, without) << "of a release that kept none";
  for (const char* odd : {"{", "[]", "{}", R"({"open":[0,0,0,0,0],"epochs":[[2,1,1,0,0,0]]})",
                          R"({"open":[9007199254740993,0,0,0,0],"epochs":[]})"}) {
    ASSERT_TRUE(rewrite(odd));
    const auto loaded = store().load_newest();
    ASSERT_TRUE(loaded);
    EXPECT_FALSE(loaded->state) << odd;
    ASSERT_EQ(loaded->skipped.size(), 1U);
    EXPECT_NE(loaded->skipped[0].find("its ledger is none"), std::string::npos) << loaded->skipped[0];
  }
}

TEST_F(Checkpoints, NameTheClassesOfTheModel) {
  CheckpointStore checkpoints(
      {.folder = folder_.path() / "out", .fingerprint = "abc", .class_names = {"cat", "d\"o\"g", "\xff"}},
      kTensors);
  ASSERT_TRUE(checkpoints.save(state_at(200)));
  EXPECT_EQ(read_safetensors(file("step-00000200.safetensors"))->metadata.at("classes"),
            "[\"cat\",\"d\\\"o\\\"g\",\"\uFFFD\"]");
  ASSERT_TRUE(checkpoints.finish(state_at(300)));
  EXPECT_TRUE(read_safetensors(file("model.safetensors"))->metadata.contains("classes"));
  ASSERT_TRUE(store().finish(state_at(300)));
  EXPECT_FALSE(read_safetensors(file("model.safetensors"))->metadata.contains("classes"));
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

TEST_F(Checkpoints, LeaveWhatTheyDidNotWrite) {
  auto checkpoints = store();
  ASSERT_TRUE(checkpoints.save(state_at(200)));
  for (const char* name : {"step-5.safetensors", "step-000000200.safetensors", "step-1e2.safetensors"})
    write_text(file(name), "mine");
  EXPECT_TRUE(checkpoints.load_newest()->skipped.empty());
  ASSERT_TRUE(checkpoints.finish(state_at(300)));
  EXPECT_EQ(names_in(folder_.path() / "out"),
            (std::vector<std::string>{"history.csv", "model.safetensors", "step-000000200.safetensors",
                                      "step-1e2.safetensors", "step-5.safetensors"}));
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

TEST_F(Checkpoints, KeepTheModelOfAnotherTrainingUnderAnotherName) {
  std::vector<std::string> notes;
  const auto finish = [&](const std::string& fingerprint, std::int64_t step,
                          const std::string& digest = "d") {
    CheckpointStore checkpoints({.folder = folder_.path() / "out",
                                 .fingerprint = fingerprint,
                                 .data_digest = digest,
                                 .note = [&](const std::string& note) { notes.push_back(note); }},
                                kTensors);
    ASSERT_TRUE(checkpoints.finish(state_at(step)));
  };
  const auto step_of = [&](const std::string& name) {
    return read_safetensors(file(name))->metadata["step"];
  };
  finish("abc", 100);
  finish("abc", 200);  // the same training again: overwritten
  EXPECT_TRUE(notes.empty());
  EXPECT_EQ(names_in(folder_.path() / "out"), (std::vector<std::string>{"history.csv", "model.safetensors"}));
  finish("xyz", 300);
  finish("xyz", 400, "other data");
  EXPECT_EQ(names_in(folder_.path() / "out"),
            (std::vector<std::string>{"history.1.csv", "history.2.csv", "history.csv", "model.1.safetensors",
                                      "model.2.safetensors", "model.safetensors"}));
  EXPECT_EQ(step_of("model.1.safetensors"), "200");
  EXPECT_EQ(step_of("model.2.safetensors"), "300");
  EXPECT_EQ(step_of("model.safetensors"), "400");
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_EQ(notes[0], file("model.safetensors").string() +
                          " was the model of another training; it is model.1.safetensors now");
  write_text(file("model.safetensors"), "damaged");
  finish("xyz", 500);
  EXPECT_EQ(notes.size(), 2U);
}

// Another rank 0 of the same folder may be in the middle of a write, e.g. one that has not heard yet that it
// is none any more.
TEST_F(Checkpoints, LeaveATemporaryThatIsBeingWritten) {
  ASSERT_TRUE(store().save(state_at(200)));
  const auto path = file("step-00000300.safetensors.0123.tmp");
  write_text(path, "half");
  FileDescriptor writer(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(flock(writer.get(), LOCK_EX | LOCK_NB), 0);
  ASSERT_TRUE(store().save(state_at(400)));
  EXPECT_TRUE(fs::exists(path));
  writer.reset();
  ASSERT_TRUE(store().save(state_at(500)));
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(Checkpoints, OfTwoWritersAtOnceAreWhole) {
  constexpr int kSaves = 50;
  const auto write = [this](float value) {
    auto checkpoints = store();
    TrainingState state = state_at(200);
    std::fill(state.parameters.begin(), state.parameters.end(), value);
    for (int i = 0; i < kSaves; ++i) {
      const Status saved = checkpoints.save(state);
      ASSERT_TRUE(saved) << saved.error().message;
    }
  };
  std::jthread other([&] { write(1); });
  write(2);
  other.join();
  const auto loaded = store().load_newest();
  ASSERT_TRUE(loaded && loaded->state) << "it is garbled";
  const auto& values = loaded->state->parameters;
  EXPECT_EQ(values, std::vector<float>(values.size(), values[0]));
  EXPECT_EQ(names_in(folder_.path() / "out"), (std::vector<std::string>{"step-00000200.safetensors"}));
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
  const auto misfit = of("uid-1", "xyz").load_newest();
  ASSERT_FALSE(misfit) << "it would be trained anew and overwritten";
  EXPECT_EQ(misfit.error().code, Code::kFailedPrecondition);
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

TEST(Fingerprint, IsOfTheFieldsThatDifferFromTheirDefaults) {
  const Json defaults{{"seed", 0}, {"model", {{"name", "cnn"}, {"hidden", {200}}}}};
  const Json spec{{"seed", 7}, {"model", {{"name", "mlp"}, {"hidden", {200}}}}};
  // Files on disk hold it: the SHA-256 of {"model":{"name":"mlp"},"seed":7}.
  EXPECT_EQ(fingerprint_of(spec, defaults), "2daa51d83f7dbc15");
  Json more = spec;
  Json more_defaults = defaults;
  more["precision"] = more_defaults["precision"] = "Float32";
  more["model"]["bias"] = more_defaults["model"]["bias"] = true;
  EXPECT_EQ(fingerprint_of(more, more_defaults), fingerprint_of(spec, defaults))
      << "a field of a newer version";
  more["model"]["bias"] = false;
  EXPECT_NE(fingerprint_of(more, more_defaults), fingerprint_of(spec, defaults));
  Json other = spec;
  other["model"]["hidden"] = {100};
  EXPECT_NE(fingerprint_of(other, defaults), fingerprint_of(spec, defaults));
}

}  // namespace
}  // namespace muster::learning
