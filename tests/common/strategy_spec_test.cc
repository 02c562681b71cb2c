// tests/common/strategy_spec_test.cc: spec.strategy survives the wire, and no field is there in vain
#include <gmock/gmock.h>

#include "common/spec/federated_round.h"

namespace muster::spec {
namespace {

using ::testing::HasSubstr;

std::string refusal_of(const Json& strategy) {
  const auto read = strategy_from_json(strategy, "spec.strategy");
  return read ? "" : read.error().message;
}

TEST(StrategySpec, SurvivesTheWire) {
  for (const Strategy& strategy : std::initializer_list<Strategy>{
           {},
           {.name = "FedProx", .mu = 0.25},
           {.name = "QFedAvg", .q = 0.5},
           {.name = "PerFedAvg", .inner_learning_rate = 0.1, .hessian = "HessianFree"},
           {.name = "Median"},
           {.name = "TrimmedMean", .trim_fraction = 0.25},
           {.name = "Krum", .byzantine_clients = 3, .averaged_updates = 4},
           {.name = "SCAFFOLD", .learning_rate = 0.9},
           {.name = "Scoring", .held_out_fraction = 0.5},
           {.name = "FedBuff", .learning_rate = 0.9, .buffer_size = 4, .max_staleness = 6},
           {.name = "FedProx", .mu = 0.5, .weighting = "Equal"},
           {.name = "FedAvgM", .learning_rate = 0.5, .momentum = 0.7},
           {.name = "Nesterov", .learning_rate = 0.7},
           {.name = "FedAdam", .learning_rate = 0.1, .beta1 = 0.8, .beta2 = 0.9, .tau = 0.01},
           {.name = "FedYogi", .learning_rate = 0.1},
           {.name = "FedAdagrad", .learning_rate = 0.1, .beta1 = 0, .tau = 1}}) {
    const auto back = strategy_from_json(to_json(strategy), "spec.strategy");
    ASSERT_TRUE(back) << strategy.name << ": " << back.error().message;
    EXPECT_EQ(*back, strategy);
  }
}

TEST(StrategySpec, IsToldToPodsWhole) {
  const Json spec{{"rounds", 1},
                  {"training", {{"model", {{"name", "softmax"}}}, {"dataset", {{"name", "synthetic"}}}}},
                  {"strategy", {{"name", "FedAdam"}, {"learningRate", 1.0}, {"beta1", 0.9}}},
                  {"cohort", {{"size", 3}}},
                  {"clients", {{"count", 9}}}};
  const auto whole = federated_round_from_json(spec);
  const auto told = federated_round_from_json(federated_round_for_pods(spec));
  ASSERT_TRUE(whole && told);
  EXPECT_EQ(told->federation, whole->federation);
}

TEST(StrategySpec, AFieldThatItDoesNotReadIsRefused) {
  EXPECT_EQ(refusal_of({{"name", "FedAvg"}, {"mu", 0.1}}),
            "spec.strategy.mu: only FedProx reads it, not FedAvg; remove the field");
  EXPECT_EQ(refusal_of({{"momentum", 0.9}}),
            "spec.strategy.momentum: only FedAvgM, Nesterov read it, not FedAvg; remove the field");
  EXPECT_EQ(refusal_of({{"name", "FedAdagrad"}, {"learningRate", 1}, {"beta2", 0.9}}),
            "spec.strategy.beta2: only FedAdam, FedYogi read it, not FedAdagrad; remove the field");
  EXPECT_EQ(refusal_of({{"name", "FedAvg"}, {"mu", nullptr}}), "") << "null is absent";
}

TEST(StrategySpec, AFieldThatNoValueFitsForAllMustBeThere) {
  EXPECT_EQ(refusal_of({{"name", "FedProx"}}), "spec.strategy.mu: FedProx needs it; add mu");
  EXPECT_EQ(refusal_of({{"name", "FedYogi"}}),
            "spec.strategy.learningRate: FedYogi needs it; add learningRate");
  EXPECT_EQ(refusal_of({{"name", "FedAvgM"}}), "");
}

Federation federation_with(const Strategy& strategy) {
  Federation federation;
  federation.training.dataset.name = "synthetic";
  federation.clients = 5000;
  federation.cohort = {.size = 20, .minimum = 10};
  federation.strategy = strategy;
  federation.storage_path = "/models";
  return federation;
}

std::string refusal_of(const Federation& federation) {
  const Status valid = validate(federation);
  return valid ? "" : valid.error().message;
}

TEST(StrategyNeeds, ARoundMustHaveAsManyUpdatesAsTheStrategyNeeds) {
  const struct {
    Strategy strategy;
    std::int64_t needed;
  } cases[] = {{{}, 1},
               {{.name = "Median"}, 3},
               {{.name = "TrimmedMean", .trim_fraction = 0.1}, 10},
               {{.name = "TrimmedMean", .trim_fraction = 0.3}, 4},
               {{.name = "Krum", .byzantine_clients = 2}, 7},
               {{.name = "Krum", .byzantine_clients = 2, .averaged_updates = 6}, 10}};
  for (const auto& each : cases) {
    EXPECT_EQ(needs_of(each.strategy).updates_min, each.needed) << each.strategy.name;
    Federation federation = federation_with(each.strategy);
    federation.cohort.minimum = each.needed;
    EXPECT_EQ(refusal_of(federation), "");
    federation.cohort.minimum = each.needed - 1;
    if (each.needed > 1) {
      EXPECT_THAT(refusal_of(federation), HasSubstr("spec.cohort.minimum: " + each.strategy.name))
          << each.needed;
    }
  }
}

TEST(StrategyNeeds, UpdatesThatAreLookedAtTogetherAreFewAndHaveAPlace) {
  for (const Strategy& strategy : std::initializer_list<Strategy>{{.name = "Median"},
                                                                  {.name = "TrimmedMean"},
                                                                  {.name = "Krum", .byzantine_clients = 1},
                                                                  {.name = "Scoring"}}) {
    Federation federation = federation_with(strategy);
    federation.cohort.size = kEveryUpdateMax;
    EXPECT_EQ(refusal_of(federation), "");
    federation.cohort.size = kEveryUpdateMax + 1;
    EXPECT_THAT(refusal_of(federation), HasSubstr("spec.cohort.size: " + strategy.name));
    federation.cohort.size = 20;
    federation.storage_path.clear();
    EXPECT_THAT(refusal_of(federation), HasSubstr("spec.aggregator.storage: " + strategy.name));
  }
}

TEST(PersonalizationSpec, SurvivesTheWireAndIsToldToPodsWhole) {
  const Json spec{{"training", {{"model", {{"name", "mlp"}}}, {"dataset", {{"name", "synthetic"}}}}},
                  {"personalization",
                   {{"personalLayers", {"dense2"}}, {"fineTune", {{"epochs", 3}, {"learningRate", 0.5}}}}},
                  {"cohort", {{"size", 3}}},
                  {"aggregator", {{"storage", {{"path", "/m"}}}}},
                  {"clients",
                   {{"count", 9},
                    {"stream",
                     {{"initialExamples", 7},
                      {"examplesPerRound", 2},
                      {"expireAfterRounds", 4},
                      {"labelShift", {{"round", 20}, {"by", 2}}}}}}}};
  const auto whole = federated_round_from_json(spec);
  ASSERT_TRUE(whole) << whole.error().message;
  const auto told = federated_round_from_json(federated_round_for_pods(spec));
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_EQ(told->federation, whole->federation);
  EXPECT_EQ(told->federation.rounds, std::nullopt);
  EXPECT_EQ(told->federation.personalization->fine_tune->epochs, 3);
  EXPECT_EQ(told->federation.stream->label_shift->by, 2);
  EXPECT_TRUE(keeps_client_state(told->federation));
  const auto again = federated_round_from_json(to_json(told->federation));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->federation, told->federation);
}

TEST(StrategyNeeds, FormulasOfPlainSgdTakeNoOther) {
  for (const Strategy& strategy : std::initializer_list<Strategy>{
           {.name = "QFedAvg", .q = 1}, {.name = "PerFedAvg", .inner_learning_rate = 0.1}}) {
    Federation federation = federation_with(strategy);
    EXPECT_EQ(refusal_of(federation), "");
    federation.training.optimizer.momentum = 0.1;
    EXPECT_THAT(refusal_of(federation), HasSubstr("spec.training.optimizer: " + strategy.name));
    federation.training.optimizer = {.name = "Adam"};
    EXPECT_THAT(refusal_of(federation), HasSubstr("spec.training.optimizer: " + strategy.name));
  }
}

TEST(StrategySpec, NamesAreThoseOfThePapers) {
  EXPECT_THAT(refusal_of({{"name", "fedavg"}}), HasSubstr("spec.strategy.name"));
  EXPECT_THAT(refusal_of({{"name", "FedProx"}, {"mu", -1}}), HasSubstr("spec.strategy.mu: must be"));
}

}  // namespace
}  // namespace muster::spec
