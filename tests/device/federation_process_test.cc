// tests/device/federation_process_test.cc: one aggregator and two device processes, real data, real kills
#include <fstream>

#include "tests/device/federation_process.h"

namespace muster {
namespace {

namespace fs = std::filesystem;
using control::v1::Assignment;

TEST_F(FederationProcess, FinishesAllRoundsAndLeavesTheModel) {
  const auto server = aggregator();
  const auto first = device(0);
  const auto second = device(1);
  const auto last = server->until(succeeded);
  ASSERT_TRUE(last);
  const auto& progress = last->aggregator();
  EXPECT_EQ(progress.round(), 8);
  EXPECT_EQ(progress.history_size(), 8);
  EXPECT_LT(progress.history(7).loss(), progress.history(0).loss());
  EXPECT_EQ(progress.model_bytes(), 610U * 4U);
  EXPECT_EQ(progress.bytes_sent(), 8U * 4U * progress.model_bytes());
  EXPECT_EQ(progress.bytes_received(), progress.bytes_sent());
  EXPECT_EQ(progress.bytes_expected(), progress.bytes_sent() + progress.bytes_received());
  EXPECT_EQ(server->wait_exit(std::chrono::seconds(10)), 0);
  EXPECT_EQ(first->wait_exit(std::chrono::seconds(10)), 0);
  EXPECT_EQ(second->wait_exit(std::chrono::seconds(10)), 0);
  EXPECT_TRUE(fs::exists(folder_ / "models/model.safetensors"));
  EXPECT_TRUE(fs::exists(folder_ / "models/history.csv"));
  EXPECT_NE(server->last_words().find("\"phase\":\"PHASE_SUCCEEDED\""), std::string::npos)
      << server->last_words();
  EXPECT_EQ(server->last_words().find("history"), std::string::npos);
}

TEST_F(FederationProcess, ScoringTellsWhatEachClientDid) {
  federation_.strategy = {.name = "Scoring"};
  federation_.rounds = 6;
  const auto server = aggregator();
  const auto first = device(0);
  const auto second = device(1);
  const auto last = server->until(succeeded);
  ASSERT_TRUE(last);
  const auto& progress = last->aggregator();
  EXPECT_LT(progress.history(5).loss(), progress.history(0).loss());
  ASSERT_EQ(progress.contributions_top_size(), 5);
  std::int64_t updates = 0;
  for (const auto& client : progress.contributions_top()) updates += client.updates();
  for (const auto& client : progress.contributions_bottom()) updates += client.updates();
  EXPECT_EQ(updates, 6 * 4);  // ten clients are all at one end or the other
  EXPECT_EQ(server->wait_exit(std::chrono::seconds(10)), 0);
  EXPECT_TRUE(testing_process::file_text(folder_ / "models/contributions.csv")
                  .starts_with("client,gain,weight,updates,harmful,copies\n"));
  EXPECT_TRUE(testing_process::file_text(folder_ / "models/contributions.svg").starts_with("<svg "));
}

// Of devices that differ much their own layers are better than what all share, also after a kill of both
// ends.
TEST_F(FederationProcess, DevicesHaveLayersOfTheirOwnThatSurviveTheirPod) {
  federation_.training.model = {.name = "mlp", .hidden = {16}};
  federation_.personalization = spec::Personalization{
      .personal_layers = {"dense2"}, .fine_tune = spec::FineTune{.epochs = 2, .learning_rate = 0.05}};
  federation_.client_storage_path = "/models/clients";
  federation_.cohort = {.size = 10, .over_selection = 1.0, .minimum = 1};
  federation_.rounds = 60;
  auto server = aggregator();
  auto first = device(0);
  const auto second = device(1);
  ASSERT_TRUE(server->until([](const auto& status) { return status.aggregator().round() >= 10; }));
  server->kill_now();
  first->kill_now();
  server = aggregator();
  first = device(0);
  const auto last = server->until(succeeded);
  ASSERT_TRUE(last);
  ASSERT_EQ(last->aggregator().devices_size(), 3);
  const auto& global = last->aggregator().devices(0);
  const auto& personal = last->aggregator().devices(2);
  EXPECT_EQ(global.model(), "Global");
  EXPECT_EQ(personal.model(), "Personal");
  EXPECT_EQ(personal.devices(), 10);
  EXPECT_GT(personal.mean(), global.mean() + 0.2);
  EXPECT_GE(personal.mean(), personal.worst_tenth());
  EXPECT_EQ(server->wait_exit(std::chrono::seconds(10)), 0);
  EXPECT_TRUE(testing_process::file_text(folder_ / "models/devices.csv")
                  .starts_with("client,examples,global,tuned,personal\n"));
}

// Without `rounds`, on data that comes and goes; from round 20 on its labels are others.
TEST_F(FederationProcess, GoesOnForEverAndTellsOfDrift) {
  federation_.rounds.reset();
  federation_.cohort = {.size = 10, .over_selection = 1.0, .minimum = 1};
  federation_.stream = spec::Stream{.initial_examples = 30,
                                    .examples_per_round = 10,
                                    .expire_after_rounds = 3,
                                    .label_shift = spec::LabelShift{.round = 20, .by = 3}};
  const auto server = aggregator();
  const auto first = device(0);
  const auto second = device(1);
  const auto later = server->until([](const auto& status) { return status.aggregator().round() >= 60; });
  ASSERT_TRUE(later);
  EXPECT_TRUE(later->aggregator().has_drift());
  EXPECT_TRUE(later->aggregator().endless());
  EXPECT_EQ(later->aggregator().rounds(), 0);
  double before = 0;
  double after = 0;
  for (const auto& point : later->aggregator().history()) {
    if (point.at() == 19) before = point.accuracy();
    if (point.at() == 20) after = point.accuracy();
  }
  EXPECT_LT(after, before);  // the test data's labels have shifted, too
  EXPECT_GT(later->aggregator().accuracy(), after);
}

// Pods talk to pods: what http_proxy says is meant for the way out of the cluster.
TEST_F(FederationProcess, NoProxyOfTheEnvironmentIsAsked) {
  federation_.rounds = 1;
  for (const char* variable : {"grpc_proxy", "https_proxy", "http_proxy"})
    setenv(variable, "http://127.0.0.1:1", 1);  // nobody listens there
  const auto server = aggregator();
  const auto first = device(0);
  const auto second = device(1);
  for (const char* variable : {"grpc_proxy", "https_proxy", "http_proxy"}) unsetenv(variable);
  EXPECT_TRUE(server->until(succeeded, std::chrono::seconds(20)));
}

// As many rows, other values: each client's part would be as long, and its examples another's.
TEST_F(FederationProcess, AClientPodWithOtherDataIsRefusedByBothDigests) {
  const fs::path file = folder_ / "data.csv";
  const auto write = [&](int seed) {
    std::ofstream csv(file);
    csv << "a,b,label\n";
    for (int i = 0; i < 60; ++i) csv << (i * seed) % 7 << "," << i % 5 << "," << i % 2 << "\n";
  };
  write(3);
  federation_.training.dataset = {.name = "csv", .path = file.string(), .csv = {}, .synthetic = {}};
  federation_.partition.kind = "IID";
  federation_.rounds = 100'000;
  federation_.cohort = {.size = 2, .over_selection = 1.0, .minimum = 1};
  const auto server = aggregator();
  ASSERT_TRUE(server->until(running));
  const auto honest = device(0);
  ASSERT_TRUE(server->until(committed(1)));
  write(4);
  const auto other = device(1);
  EXPECT_EQ(other->wait_exit(std::chrono::seconds(20)), 65);
  EXPECT_NE(other->last_words().find("client pod 1 has loaded a dataset with SHA-256 "), std::string::npos)
      << other->last_words();
  EXPECT_NE(other->last_words().find("the same files at spec.training.dataset.path"), std::string::npos);
  const auto now = server->until(running);
  ASSERT_TRUE(now);
  EXPECT_TRUE(server->until(committed(now->aggregator().round() + 1))) << "the honest pod's go on";
}

TEST_F(FederationProcess, GoesOnWithoutADeviceThatIsKilledInTheMiddleOfARound) {
  federation_.rounds = 200;  // a few milliseconds each
  const auto server = aggregator();
  const auto first = device(0);
  const auto second = device(1);
  ASSERT_TRUE(server->until(committed(3)));
  second->kill_now();
  const auto last = server->until(succeeded);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->aggregator().round(), 200);
  EXPECT_EQ(server->wait_exit(std::chrono::seconds(10)), 0);
  EXPECT_EQ(first->wait_exit(std::chrono::seconds(10)), 0);
}

TEST_F(FederationProcess, AnAggregatorThatIsKilledResumesFromItsLastRound) {
  federation_.rounds = 60;
  auto server = aggregator();
  const auto first = device(0);
  const auto second = device(1);
  ASSERT_TRUE(server->until(committed(5)));
  server->kill_now();
  server = aggregator();
  const auto last = server->until(succeeded);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->aggregator().round(), 60);
  ASSERT_EQ(last->aggregator().history_size(), 60);
  for (int i = 0; i < 60; ++i) EXPECT_EQ(last->aggregator().history(i).at(), i + 1);
  EXPECT_NE(server->log().find("resumed from round"), std::string::npos);
  EXPECT_EQ(first->wait_exit(std::chrono::seconds(10)), 0);
  EXPECT_EQ(second->wait_exit(std::chrono::seconds(10)), 0);
}

// One client, so that there is one order of arrival: its update is a function of the model and the round.
TEST_F(FederationProcess, WhatTheServerRemembersSurvivesKillsToTheBit) {
  federation_.rounds = 60;
  federation_.clients = 1;
  federation_.clients_per_pod = 1;
  federation_.cohort = {.size = 1, .over_selection = 1.0, .minimum = 1};
  federation_.partition.kind = "IID";
  federation_.strategy = {.name = "FedYogi", .learning_rate = 0.02};
  const fs::path model = folder_ / "models/model.safetensors";
  const auto play = [&](const std::vector<std::int64_t>& kills) {
    auto server = aggregator();
    const auto client = device(0);
    for (const std::int64_t round : kills) {
      EXPECT_TRUE(server->until(committed(round)));
      server->kill_now();
      server = aggregator();
    }
    EXPECT_TRUE(server->until(succeeded));
    EXPECT_EQ(server->wait_exit(std::chrono::seconds(10)), 0);
    EXPECT_EQ(client->wait_exit(std::chrono::seconds(10)), 0);
    std::string bytes = testing_process::file_text(model);
    fs::remove_all(folder_ / "models");
    return bytes;
  };
  const std::string uninterrupted = play({});
  EXPECT_GT(uninterrupted.size(), 610U * 4U);
  EXPECT_EQ(play({5, 20}), uninterrupted);
}

TEST_F(FederationProcess, AnAggregatorThatIsStartedAgainAfterItsEndKeepsItsModel) {
  federation_.rounds = 100'000;
  federation_.target = spec::Target{.value = 0.3};
  std::int64_t rounds = 0;
  {
    const auto server = aggregator();
    const auto first = device(0);
    const auto second = device(1);
    const auto last = server->until(succeeded);
    ASSERT_TRUE(last);
    rounds = last->aggregator().round();
    ASSERT_EQ(server->wait_exit(std::chrono::seconds(10)), 0);
  }
  const std::string model = testing_process::file_text(folder_ / "models/model.safetensors");
  const auto server = aggregator();  // e.g. its node died before the operator saw that it had succeeded
  const auto last = server->until(succeeded, std::chrono::seconds(20));
  ASSERT_TRUE(last);
  EXPECT_EQ(last->aggregator().round(), rounds);
  EXPECT_EQ(last->aggregator().history_size(), std::min<std::int64_t>(rounds, 200));
  EXPECT_TRUE(last->aggregator().target_reached());
  EXPECT_EQ(server->wait_exit(std::chrono::seconds(10)), 0);
  EXPECT_EQ(testing_process::file_text(folder_ / "models/model.safetensors"), model);
}

TEST_F(FederationProcess, StopsEarlyWhenTheTargetIsReached) {
  federation_.rounds = 100'000;
  federation_.target = spec::Target{.value = 0.3};
  const auto server = aggregator();
  const auto first = device(0);
  const auto second = device(1);
  const auto last = server->until(succeeded);
  ASSERT_TRUE(last);
  EXPECT_TRUE(last->aggregator().target_reached());
  EXPECT_GE(last->aggregator().accuracy(), 0.3);
  EXPECT_EQ(server->wait_exit(std::chrono::seconds(10)), 0);
  EXPECT_EQ(first->wait_exit(std::chrono::seconds(10)), 0);
}

TEST_F(FederationProcess, TrainingThatDivergesEndsWithTheReasonAndExitCode65) {
  federation_.training.optimizer.learning_rate =
      1e6;  // times the decay: the weights grow a millionfold a step
  federation_.training.optimizer.weight_decay = 1;
  const auto server = aggregator();
  const auto first = device(0);
  const auto second = device(1);
  EXPECT_EQ(server->wait_exit(std::chrono::seconds(60)), 65);
  EXPECT_NE(server->last_words().find("lower the learning rate"), std::string::npos) << server->last_words();
  EXPECT_EQ(server->last_words().find("deadlineSeconds"), std::string::npos) << server->last_words();
  for (Pod* client : {first.get(), second.get()}) {
    EXPECT_EQ(client->wait_exit(std::chrono::seconds(20)), 0);
    EXPECT_NE(client->last_words().find("the federation failed: "), std::string::npos)
        << client->last_words();
    EXPECT_EQ((client->last_words() + client->log()).find("nan"), std::string::npos) << client->log();
  }
}

TEST_F(FederationProcess, AModelThatDivergedButIsFiniteIsToldOf) {
  federation_.training.optimizer.learning_rate = 1000;
  const auto server = aggregator();
  const auto first = device(0);
  const auto second = device(1);
  const auto last = server->until(succeeded);
  ASSERT_TRUE(last);
  ASSERT_EQ(last->warnings_size(), 1);
  EXPECT_NE(last->warnings(0).find("the training ended with a loss of"), std::string::npos)
      << last->warnings(0);
}

TEST_F(FederationProcess, DoesNotGoOnWithOtherData) {
  const auto write_data = [&](double shift) {
    fs::create_directories(folder_ / "models");
    std::ofstream file(folder_ / "models/data.csv");
    file << "x,y,label\n";
    for (int i = 0; i < 100; ++i) file << i % 10 + shift << ',' << i % 7 << ',' << (i % 2) << '\n';
  };
  write_data(0);
  federation_.rounds = 100'000;
  federation_.training.dataset.name = "csv";
  federation_.training.dataset.path = "/models/data.csv";
  federation_.partition.kind = "IID";
  {
    const auto server = aggregator();
    const auto first = device(0);
    const auto second = device(1);
    ASSERT_TRUE(server->until(committed(2)));
  }
  write_data(0.5);
  const auto server = aggregator();
  EXPECT_EQ(server->wait_exit(std::chrono::seconds(20)), 65);
  EXPECT_NE(server->last_words().find("a training on other data"), std::string::npos) << server->last_words();
}

TEST_F(FederationProcess, ALimitThatRefusesEveryUpdateIsToldBeforeTheFirstRound) {
  federation_.cohort.max_examples_per_client = 1;
  const auto server = aggregator();
  EXPECT_EQ(server->wait_exit(std::chrono::seconds(20)), 65);
  EXPECT_NE(server->last_words().find("spec.cohort.maxExamplesPerClient: client 0 holds"), std::string::npos)
      << server->last_words();
}

TEST_F(FederationProcess, SigtermEndsBothWithinTwoSeconds) {
  federation_.rounds = 100'000;
  const auto server = aggregator();
  const auto first = device(0);
  const auto second = device(1);
  ASSERT_TRUE(server->until(committed(1)));
  first->terminate();
  EXPECT_TRUE(first->wait_exit(std::chrono::seconds(2)));
  server->terminate();
  EXPECT_TRUE(server->wait_exit(std::chrono::seconds(2)));
}

TEST_F(FederationProcess, SaysWhatIsWrongWithItsAssignment) {
  const auto server = aggregator(false);
  Assignment assignment = aggregator_assignment();
  assignment.set_spec(R"({"rounds": 0, "training": {}, "clients": {}})");
  const grpc::Status refused = server->configure(assignment);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_NE(refused.error_message().find("spec.rounds"), std::string::npos) << refused.error_message();
  assignment.clear_spec();
  const grpc::Status empty = server->configure(assignment);
  EXPECT_EQ(empty.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << "of an operator that tells no spec";
  EXPECT_EQ(empty.error_message().find("spec: "), 0U) << empty.error_message();
}

TEST_F(FederationProcess, NamesTheDatasetThatIsNotThere) {
  federation_.training.dataset.name = "idx";
  federation_.training.dataset.path = "/nowhere/data";
  federation_.partition.kind = "IID";
  const auto server = aggregator();
  EXPECT_EQ(server->wait_exit(std::chrono::seconds(20)), 65);
  EXPECT_NE(server->last_words().find("/nowhere/data"), std::string::npos) << server->last_words();
}

}  // namespace
}  // namespace muster
