// tests/common/spec_test.cc: training and federation specs survive the wire and refuse nonsense
#include <gmock/gmock.h>

#include "common/spec/distributed_job.h"
#include "common/spec/federated_round.h"

namespace muster::spec {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Federation federation() {
  Federation value;
  value.training.dataset = {.name = "fashion-mnist", .path = "/data", .csv = {}, .synthetic = {}};
  value.clients = 100;
  return value;
}

TEST(Training, SurvivesTheWire) {
  Training training;
  training.model = {.name = "mlp", .hidden = {32, 16}};
  training.dataset = {.name = "csv",
                      .path = "/data/x.csv",
                      .csv = {.label_column = "y", .test_fraction = 0.25},
                      .synthetic = {}};
  training.optimizer.name = "Adam";
  training.optimizer.learning_rate = 1e-3;
  training.checkpoint = Checkpoint{.path = "/out", .every_steps = 5, .keep = 2};
  training.seed = 42;
  const auto back = training_from_json(to_json(training));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, training);
}

TEST(Training, WhereDataLiesAndWhatAPodMayTakeSaysNothingOfWhatIsLearnt) {
  Training training;
  training.dataset.path = "/data";
  Training other = training;
  other.dataset.path = "/moved";
  other.epochs = 9;
  other.checkpoint = Checkpoint{.path = "/out"};
  EXPECT_EQ(what_is_learnt(to_json(training)), what_is_learnt(to_json(other)));
  other.batch_size += 1;
  EXPECT_NE(what_is_learnt(to_json(training)), what_is_learnt(to_json(other)));
  training.program.emplace();
  other = training;
  other.program->resources = {{"limits", {{"memory", "1Gi"}}}};
  EXPECT_EQ(what_is_learnt(to_json(training)), what_is_learnt(to_json(other)));
}

TEST(Training, NeedsThePathOfItsFiles) {
  const auto read =
      training_from_json({{"model", {{"name", "cnn"}}}, {"dataset", {{"name", "fashion-mnist"}}}});
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("spec.training.dataset.path"));
}

TEST(Federation, SurvivesTheWire) {
  Federation value = federation();
  value.target = Target{.metric = "Accuracy", .value = 0.8};
  value.clients_per_pod = 7;
  value.cohort.max_examples_per_client = 600;
  value.storage_path = "/m";
  value.strategy = {.name = "SCAFFOLD"};
  value.client_storage_path = "/kept";
  value.stragglers.policy = "AcceptPartial";
  value.partition = {.kind = "LabelShards", .shards_per_client = 2, .alpha = 0.5};
  const auto back = federated_round_from_json(to_json(value));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->federation, value);
}

Json read(const char* text) { return Json::parse(text); }

TEST(ForPods, OfADistributedJobIsWhatPodsNeedAndIsNotUsual) {
  const struct {
    const char* what;
    const char* spec;
    const char* told;
  } cases[] = {
      {"the operator's own goes",
       R"({"suspend": true, "workers": {"replicas": 3, "template": {"spec": {}}}, "runPolicy": {"maxRestarts": 1},
           "training": {"model": {"name": "cnn"}, "dataset": {"name": "csv", "path": "/d"}}})",
       R"({"training": {"model": {"name": "cnn"}, "dataset": {"name": "csv", "path": "/d"}}})"},
      {"what is at its default goes, whatever its number's form",
       R"({"training": {"model": {"name": "mlp", "hidden": [32]}, "objective": "CrossEntropy", "epochs": 1, "batchSize": 32,
             "optimizer": {"name": "Adam", "learningRate": 0.01, "beta1": 0.9, "beta2": 0.5, "momentum": 0},
             "dataset": {"name": "csv", "path": "/d", "csv": {"labelColumn": "label", "testFraction": 0.1}},
             "checkpoint": {"path": "/c", "everySteps": 200, "keep": 4}},
           "synchronization": {"topology": "Ring", "updates": "Synchronous", "timeoutSeconds": 60, "peerTimeoutSeconds": 1},
           "security": {"encryptTraffic": false}})",
       R"({"training": {"model": {"name": "mlp", "hidden": [32]}, "batchSize": 32, "optimizer": {"name": "Adam", "beta2": 0.5},
             "dataset": {"name": "csv", "path": "/d"}, "checkpoint": {"path": "/c", "keep": 4}}})"},
      {"the default of a model that is not the default one goes, too",
       R"({"training": {"model": {"name": "mlp", "hidden": [200]}, "dataset": {"name": "csv", "path": "/d"}},
           "synchronization": {"timeoutSeconds": 5}, "security": {"encryptTraffic": true}})",
       R"({"training": {"model": {"name": "mlp"}, "dataset": {"name": "csv", "path": "/d"}},
           "synchronization": {"timeoutSeconds": 5}, "security": {"encryptTraffic": true}})"},
      {"of a program nothing but itself is told",
       R"({"training": {"program": {}, "objective": "CrossEntropy", "batchSize": 32, "optimizer": {"name": "SGD", "learningRate": 0.01}}})",
       R"({"training": {"program": {}, "batchSize": 32}})"},
      {"what this version does not know stays, for the pod to judge",
       R"({"training": {"model": {"name": "cnn"}, "dataset": {"name": "synthetic", "synthetic": {"iid": false, "more": 1}}}})",
       R"({"training": {"model": {"name": "cnn"}, "dataset": {"name": "synthetic", "synthetic": {"more": 1}}}})"},
  };
  for (const auto& each : cases)
    EXPECT_EQ(distributed_job_for_pods(read(each.spec)), read(each.told)) << each.what;
}

TEST(Synchronization, ThePeerTimeoutIsAtMostThatOfACall) {
  EXPECT_EQ(synchronization_from_json(read(R"({"timeoutSeconds": 5, "peerTimeoutSeconds": 5})"))
                ->peer_timeout_seconds,
            5);
  EXPECT_EQ(synchronization_from_json(read("{}"))->peer_timeout_seconds, 1);
  EXPECT_THAT(
      synchronization_from_json(read(R"({"timeoutSeconds": 5, "peerTimeoutSeconds": 6})")).error().message,
      HasSubstr("spec.synchronization.peerTimeoutSeconds: is 6, but spec.synchronization.timeoutSeconds"));
}

TEST(Workers, AreBoundedOnlyWhereTheyTrain) {
  const auto error_of = [](const Json& workers, bool trains) -> std::string {
    Json spec{{"workers", workers}};
    if (trains) spec["training"] = {{"model", {{"name", "mlp"}}}, {"dataset", {{"name", "synthetic"}}}};
    const auto read = distributed_job_from_json(spec);
    return read ? "" : read.error().message;
  };
  EXPECT_EQ(error_of({{"replicas", 3}, {"minReplicas", 3}, {"maxReplicas", 3}}, true), "");
  EXPECT_EQ(error_of({{"replicas", 0}, {"minReplicas", 3}}, true), "") << "it is suspended";
  EXPECT_EQ(error_of({{"replicas", 3}, {"minReplicas", 4}}, true),
            "spec.workers.minReplicas: 4 is more than replicas 3; lower it or raise replicas");
  EXPECT_EQ(error_of({{"replicas", 5}, {"maxReplicas", 4}}, true),
            "spec.workers.replicas: 5 is more than maxReplicas 4; lower it or raise maxReplicas");
  EXPECT_EQ(error_of({{"replicas", 0}, {"minReplicas", 5}, {"maxReplicas", 4}}, true),
            "spec.workers.minReplicas: 5 is more than maxReplicas 4; lower it or raise maxReplicas");
  EXPECT_EQ(
      error_of({{"minReplicas", 1}}, false),
      "spec.workers.minReplicas: only the workers of spec.training go on without one of them; remove it, "
      "or use spec.training");
}

TEST(ForPods, OfAFederatedRoundReadsAsTheSame) {
  const Json spec = read(
      R"({"suspend": false, "rounds": 1, "target": {"metric": "Accuracy", "value": 0.5}, "strategy": {"name": "FedAvg"},
          "cohort": {"size": 10, "overSelection": 1.0, "minimum": 2, "maxExamplesPerClient": 1000000000}, "runPolicy": {},
          "stragglers": {"deadlineSeconds": 60, "policy": "Drop"},
          "aggregator": {"template": {"spec": {}}, "storage": {"path": "/m"}},
          "clients": {"count": 100, "perPod": 50, "template": {"spec": {}}, "partition": {"kind": "IID", "alpha": 0.5}},
          "training": {"model": {"name": "softmax"}, "dataset": {"name": "csv", "path": "/d"}, "localEpochs": 1,
                       "batchSize": 0, "seed": 0}})");
  const Json told = federated_round_for_pods(spec);
  EXPECT_EQ(
      told,
      read(
          R"({"rounds": 1, "target": {"value": 0.5}, "cohort": {"minimum": 2, "maxExamplesPerClient": 1000000000},
                           "aggregator": {"storage": {"path": "/m"}}, "clients": {"count": 100, "perPod": 50},
                           "training": {"model": {"name": "softmax"}, "dataset": {"name": "csv", "path": "/d"},
                                        "batchSize": 0}})"));
  const auto whole = federated_round_from_json(spec);
  const auto back = federated_round_from_json(told);
  ASSERT_TRUE(whole && back) << back.error().message;
  EXPECT_EQ(back->federation, whole->federation);
}

// One of five claimed a billion examples beside fifty of each other, and was the model.
TEST(Federation, OfAProgramBoundsWhatUpdatesWeigh) {
  Federation value = federation();
  value.training = {};
  value.training.program.emplace();
  value.partition = {};
  value.strategy = {.name = "FedAdam", .learning_rate = 0.1};
  ASSERT_FALSE(validate(value));
  EXPECT_THAT(validate(value).error().message,
              AllOf(HasSubstr("spec.cohort.maxExamplesPerClient: FedAdam weighs"),
                    HasSubstr("write how many a client holds at most, or strategy.weighting: Equal")));
  value.cohort.max_examples_per_client = 600;
  EXPECT_TRUE(validate(value));
  value.cohort.max_examples_per_client = std::nullopt;
  value.strategy.weighting = "Equal";
  EXPECT_TRUE(validate(value));
  value.strategy = {.name = "FedBuff"};
  EXPECT_TRUE(validate(value)) << "it weighs by staleness alone";
}

TEST(SelectionCount, IsTheCeilingOfSizeTimesOverSelection) {
  EXPECT_EQ(selection_count({.size = 10, .over_selection = 1.0}), 10);
  EXPECT_EQ(selection_count({.size = 50, .over_selection = 1.1}), 55);  // above 55 in binary
  EXPECT_EQ(selection_count({.size = 100, .over_selection = 1.1}), 110);
  EXPECT_EQ(selection_count({.size = 10, .over_selection = 1.3}), 13);
  EXPECT_EQ(selection_count({.size = 3, .over_selection = 1.5}), 5);
}

TEST(Federation, TakesACohortThatSelectsEveryClient) {
  Federation value = federation();
  value.clients = 55;
  value.cohort = {.size = 50, .over_selection = 1.1, .minimum = 1};
  const Status valid = validate(value);
  EXPECT_TRUE(valid) << valid.error().message;
}

TEST(Federation, RefusesACohortLargerThanTheClients) {
  Federation value = federation();
  value.cohort = {.size = 90, .over_selection = 1.3, .minimum = 1};
  EXPECT_THAT(validate(value).error().message,
              HasSubstr("selects 117 clients, but spec.clients.count is 100; lower cohort.size"));
}

}  // namespace
}  // namespace muster::spec
