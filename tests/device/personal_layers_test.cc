// tests/device/personal_layers_test.cc: layers that never leave a device, examples that it never trains on,
// and data that comes bit by bit: the real clients without a network
#include "device/personal_layers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "device/shell/local_trainer.h"

namespace muster::device {
namespace {

constexpr std::int32_t kClients = 4;
constexpr std::int64_t kHidden = 6;
constexpr std::int64_t kClasses = 10;
constexpr std::size_t kPersonal = kHidden * kClasses + kClasses;  // dense2

spec::Federation federation() {
  spec::Federation federation;
  federation.clients = kClients;
  federation.training.model = {.name = "mlp", .hidden = {kHidden}};
  federation.training.dataset.name = "synthetic";
  federation.training.dataset.synthetic.devices = kClients;
  federation.training.optimizer.learning_rate = 0.1;
  federation.training.seed = 5;
  federation.partition.kind = "Natural";
  federation.personalization = spec::Personalization{.personal_layers = {"dense2"}, .fine_tune = {}};
  return federation;
}

std::unique_ptr<LocalTrainer> trainer_of(const spec::Federation& federation) {
  auto trainer = LocalTrainer::load(federation, 0, kClients, 1);
  EXPECT_TRUE(trainer) << (trainer ? "" : trainer.error().message);
  return trainer ? std::move(*trainer) : nullptr;
}

learning::LocalUpdate trained(LocalTrainer& trainer, std::int32_t client, std::int64_t round,
                              std::int64_t counted, std::span<const float> model) {
  TaskTicket task;
  task.round = round;
  task.counted_round = counted;
  auto update = trainer.train(0, client, task, model, {});
  EXPECT_TRUE(update) << (update ? "" : update.error().message);
  return update ? std::move(*update) : learning::LocalUpdate{};
}

std::vector<float> model_of(const LocalTrainer& trainer) {
  std::vector<float> model(trainer.parameter_count());
  for (std::size_t i = 0; i < model.size(); ++i) model[i] = 0.1F * static_cast<float>(i % 7) - 0.3F;
  return model;
}

TEST(PersonalLayers, ArePartsOfTheFlatModel) {
  const std::vector<learning::Tensor> tensors{{"dense1.weight", {2}, 0, 2},
                                              {"dense1.bias", {1}, 2, 1},
                                              {"dense10.weight", {2}, 3, 2},
                                              {"dense2.weight", {2}, 5, 2}};
  const PersonalLayers layers(tensors, std::vector<std::string>{"dense2", "dense1"});
  EXPECT_EQ(layers.size(), 5U);
  std::vector<float> model{0, 1, 2, 3, 4, 5, 6};
  EXPECT_EQ(layers.of(model), (std::vector<float>{0, 1, 2, 5, 6}));
  layers.put(std::vector<float>{10, 11, 12, 15, 16}, model);
  EXPECT_EQ(model, (std::vector<float>{10, 11, 12, 3, 4, 15, 16}));
  layers.clear(model);
  EXPECT_EQ(model, (std::vector<float>{0, 0, 0, 3, 4, 0, 0}));
  EXPECT_TRUE(PersonalLayers().empty());
}

TEST(PersonalLayers, NeverLeaveTheDevice) {
  const auto trainer = trainer_of(federation());
  ASSERT_NE(trainer, nullptr);
  EXPECT_EQ(trainer->state_size(), kPersonal);
  const std::vector<float> model = model_of(*trainer);
  const std::size_t shared = model.size() - kPersonal;
  const learning::LocalUpdate update = trained(*trainer, 0, 1, 0, model);
  ASSERT_EQ(update.delta.size(), model.size());
  EXPECT_TRUE(std::any_of(update.delta.begin(), update.delta.begin() + static_cast<std::ptrdiff_t>(shared),
                          [](float value) { return value != 0; }));
  EXPECT_TRUE(std::all_of(update.delta.begin() + static_cast<std::ptrdiff_t>(shared), update.delta.end(),
                          [](float value) { return value == 0; }));
}

// "Accepted" is not "counted": what a client learnt in a round that came to nothing never was.
TEST(PersonalLayers, AdvanceWhenTheUpdateCounts) {
  const auto learnt = trainer_of(federation());
  const auto undone = trainer_of(federation());
  const auto fresh = trainer_of(federation());
  const std::vector<float> model = model_of(*learnt);
  std::ignore = trained(*learnt, 1, 1, 0, model);
  std::ignore = trained(*undone, 1, 1, 0, model);
  const auto second = trained(*learnt, 1, 2, 1, model).delta;
  const auto never = trained(*fresh, 1, 2, 0, model).delta;
  EXPECT_EQ(trained(*undone, 1, 2, 0, model).delta, never);
  EXPECT_NE(second, never);  // its own layers went on
  EXPECT_EQ(learnt->states_lost(), 0);
  EXPECT_EQ(trained(*learnt, 1, 2, 1, model).delta, second);  // asked again, the same bits
}

TEST(PersonalLayers, ThatAreGoneBeginWithTheModels) {
  const auto trainer = trainer_of(federation());
  const auto fresh = trainer_of(federation());
  const std::vector<float> model = model_of(*trainer);
  std::ignore = trained(*trainer, 2, 1, 0, model);
  trainer->keep_states_in(std::make_unique<MemoryStates>());
  EXPECT_EQ(trained(*trainer, 2, 2, 1, model).delta, trained(*fresh, 2, 2, 0, model).delta);
  EXPECT_EQ(trainer->states_lost(), 1);
}

TEST(Personalization, MeasuresOnAFifthThatDoesNotCountAsExamples) {
  spec::Federation plain = federation();
  plain.personalization.reset();
  spec::Federation tuned = federation();
  tuned.personalization = spec::Personalization{
      .personal_layers = {"dense2"}, .fine_tune = spec::FineTune{.epochs = 20, .learning_rate = 0.1}};
  const auto whole = trainer_of(plain);
  const auto trainer = trainer_of(tuned);
  const std::vector<float> model = model_of(*whole);
  double global = 0;
  double fine_tuned = 0;
  for (std::int32_t client = 0; client < kClients; ++client) {
    const auto all = trained(*whole, client, 1, 0, model).examples;
    const learning::LocalUpdate update = trained(*trainer, client, 1, 0, model);
    ASSERT_TRUE(update.held_out);
    EXPECT_EQ(update.examples + update.held_out->examples, all);
    EXPECT_EQ(update.held_out->examples, learning::held_out_count(all, learning::kHeldOutShare));
    EXPECT_EQ(update.held_out->personal, update.held_out->global);  // it has learnt nothing of its own yet
    global += update.held_out->global;
    fine_tuned += update.held_out->tuned.value_or(-1);
  }
  EXPECT_GT(fine_tuned, global + 0.5);
  EXPECT_FALSE(trained(*whole, 0, 1, 0, model).held_out);
}

TEST(Personalization, FineTuningLeavesTheUpdateAsItIs) {
  spec::Federation with = federation();
  with.personalization->fine_tune = spec::FineTune{.epochs = 3, .learning_rate = 0.2};
  const auto a = trainer_of(federation());
  const auto b = trainer_of(with);
  const std::vector<float> model = model_of(*a);
  EXPECT_EQ(trained(*a, 3, 1, 0, model).delta, trained(*b, 3, 1, 0, model).delta);
}

TEST(Stream, AClientTrainsOnWhatHasComeAndTellsItsLoss) {
  spec::Federation growing = federation();
  growing.personalization.reset();
  growing.stream = spec::Stream{.initial_examples = 8, .examples_per_round = 2, .expire_after_rounds = 3};
  const auto trainer = trainer_of(growing);
  const std::vector<float> model = model_of(*trainer);
  const auto first = trained(*trainer, 0, 1, 0, model);
  EXPECT_EQ(first.examples, 8U);
  ASSERT_TRUE(first.loss);
  EXPECT_GT(*first.loss, 0);
  EXPECT_EQ(trained(*trainer, 0, 4, 0, model).examples, 14U);
  EXPECT_EQ(trained(*trainer, 0, 5, 0, model).examples, 8U);
  growing.stream->label_shift = spec::LabelShift{.round = 5, .by = 3};
  const auto shifted = trainer_of(growing);
  EXPECT_EQ(trained(*shifted, 0, 4, 0, model).loss, trained(*trainer, 0, 4, 0, model).loss);
  EXPECT_NE(trained(*shifted, 0, 5, 0, model).loss, trained(*trainer, 0, 5, 0, model).loss);
}

}  // namespace
}  // namespace muster::device
