// tests/device/federation_state_test.cc: what clients and the server keep between rounds, through kills of
// the real binaries
#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "learning/safetensors.h"
#include "tests/device/federation_process.h"

namespace muster {
namespace {

namespace fs = std::filesystem;

class FederationState : public FederationProcess {
 protected:
  FederationState() {
    federation_.strategy = {.name = "SCAFFOLD"};
    federation_.client_storage_path = "/models/clients";
    federation_.cohort = {.size = 4, .over_selection = 1.5, .minimum = 2};
    federation_.stragglers.deadline_seconds = 2;
  }
  [[nodiscard]] fs::path folder_of(std::int64_t client) const {
    return folder_ / "models/clients" / kUid / fmt::format("client-{}", client);
  }
  // The newest checkpoint's vectors by name.
  [[nodiscard]] std::map<std::string, std::vector<float>> newest() const {
    fs::path newest;
    for (const auto& entry : fs::directory_iterator(folder_ / "models"))
      if (entry.path().filename().string().starts_with("round-")) newest = std::max(newest, entry.path());
    const auto file = learning::read_safetensors(newest);
    EXPECT_TRUE(file) << newest << ": " << (file ? "" : file.error().message);
    std::map<std::string, std::vector<float>> vectors;
    if (file)
      for (const auto& tensor : file->tensors)
        vectors[tensor.name.substr(tensor.name.rfind('.') + 1)] = tensor.values;
    return vectors;
  }
  // By how much c is not the mean of the c_i that the clients keep; the largest of all values.
  [[nodiscard]] double distance() const {
    const auto saved = newest();
    std::vector<double> mean(saved.at("c").size());
    for (std::int64_t client = 0; client < federation_.clients; ++client) {
      const auto round = static_cast<std::int64_t>(saved.at("counted").at(static_cast<std::size_t>(client)));
      if (round == 0) continue;
      const auto file =
          learning::read_safetensors(folder_of(client) / fmt::format("round-{:08d}.safetensors", round));
      EXPECT_TRUE(file) << "client " << client << ": " << (file ? "" : file.error().message);
      if (!file) return 1;
      for (std::size_t i = 0; i < mean.size(); ++i)
        mean[i] += static_cast<double>(file->tensors[0].values[i]) / static_cast<double>(federation_.clients);
    }
    double most = 0;
    double largest = 0;
    for (std::size_t i = 0; i < mean.size(); ++i) {
      most = std::max(most, std::abs(mean[i] - static_cast<double>(saved.at("c")[i])));
      largest = std::max(largest, std::abs(mean[i]));
    }
    EXPECT_GT(largest, 0.01) << "of nothing but zeros this would show nothing";
    return most;
  }
};

TEST_F(FederationState, ControlVariatesAreTheirMeanThroughKillsOfBothEnds) {
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  federation_.rounds = 100'000;
  auto server = aggregator();
  std::vector<std::unique_ptr<Pod>> clients;
  clients.reserve(2);
  for (int pod = 0; pod < 2; ++pod) clients.push_back(device(pod));
  std::int64_t round = 0;
  while (round < 50) {
    round += 2 + static_cast<std::int64_t>(random.below(8));
    ASSERT_TRUE(server->until(committed(round))) << "round " << round;
    const std::uint64_t who = random.below(3);
    if (who == 2) {
      server->kill_now();
      server = aggregator();
    } else {
      clients[who]->kill_now();
      clients[who].reset();
      clients[who] = device(static_cast<int>(who));
    }
  }
  ASSERT_TRUE(server->until(committed(round + 3)));
  server->kill_now();
  EXPECT_LE(distance(), 1e-6);
}

TEST_F(FederationState, AFederationWithoutRoundsGoesOnThroughKillsOfBothEnds) {
  federation_.strategy = {.name = "FedBuff", .buffer_size = 2};
  federation_.client_storage_path.clear();
  federation_.cohort = {.size = 4};
  federation_.rounds = 600;  // a few milliseconds each: some are left when all are there again
  auto server = aggregator();
  auto first = device(0);
  const auto second = device(1);
  ASSERT_TRUE(server->until(committed(10)));
  first->kill_now();
  ASSERT_TRUE(server->until(committed(30))) << "the others go on, and those that are lost are replaced";
  first.reset();
  first = device(0);
  server->kill_now();
  server = aggregator();
  const auto last = server->until(succeeded);
  ASSERT_TRUE(last);
  EXPECT_NE(server->log().find("resumed from round"), std::string::npos);
  EXPECT_EQ(last->aggregator().round(), 600);
  EXPECT_EQ(last->aggregator().history(last->aggregator().history_size() - 1).at(), 600);
  EXPECT_EQ(server->wait_exit(std::chrono::seconds(10)), 0);
  for (Pod* pod : {first.get(), second.get()}) EXPECT_EQ(pod->wait_exit(std::chrono::seconds(10)), 0);
}

TEST_F(FederationState, EndsWellAndLeavesNothingOfItsClients) {
  federation_.rounds = 5;
  const auto server = aggregator();
  const auto first = device(0);
  const auto second = device(1);
  const auto last = server->until(succeeded);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->aggregator().round(), 5);
  EXPECT_EQ(last->aggregator().model_bytes(), 610U * 4U);
  for (Pod* pod : {first.get(), second.get()}) EXPECT_EQ(pod->wait_exit(std::chrono::seconds(10)), 0);
  EXPECT_FALSE(fs::exists(folder_ / "models/clients" / kUid));
  EXPECT_TRUE(fs::exists(folder_ / "models/model.safetensors"));
}

TEST_F(FederationState, ClientsWithoutAFolderThatAreReplacedSayWhatTheyLost) {
  federation_.client_storage_path.clear();
  federation_.rounds = 100'000;
  const auto server = aggregator();
  auto first = device(0);
  auto second = device(1);
  ASSERT_TRUE(server->until(committed(8)));
  second->kill_now();
  second.reset();
  second = device(1);
  const auto told =
      second->until([](const control::v1::AgentStatus& status) { return status.warnings_size() > 0; });
  ASSERT_TRUE(told);
  EXPECT_GT(told->client().states_lost(), 0);
  EXPECT_NE(told->warnings(0).find("spec.clients.storage"), std::string::npos) << told->warnings(0);
}

TEST_F(FederationState, AFolderOutsideItsVolumesIsRefused) {
  federation_.client_storage_path = "/elsewhere";
  const auto server = aggregator();
  const auto client = device(0);
  EXPECT_EQ(client->wait_exit(std::chrono::seconds(20)), 65);
  EXPECT_NE(client->last_words().find("spec.clients.storage.path"), std::string::npos)
      << client->last_words();
}

}  // namespace
}  // namespace muster
