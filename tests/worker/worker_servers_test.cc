// tests/worker/worker_servers_test.cc: real muster-worker processes as workers and parameter servers, and as
// peers
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/worker/worker_pod.h"

namespace muster::worker::test {
namespace {

using testing::HasSubstr;

double figure(const std::string& page, const std::string& name) {
  const auto at = page.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(page.substr(at + name.size() + 2));
}

TEST(WorkerServers, TwoServersGiveThreeWorkersTheParametersOfAnAllToAll) {
  WorkerJob plain(3);
  plain.topology = "AllToAll";
  const auto wanted = plain.run(small_training(16, 3));
  WorkerJob job(5);
  job.topology = "ParameterServer";
  job.servers = 2;
  const auto last = job.run(small_training(16, 3));
  for (std::size_t rank = 0; rank < 3; ++rank) {
    const auto& worker = last[rank].worker();
    EXPECT_EQ(last[rank].phase(), control::v1::PHASE_SUCCEEDED) << last[rank].message();
    EXPECT_EQ(worker.parameters_sha256(), wanted[0].worker().parameters_sha256());
    EXPECT_EQ(worker.payload_bytes_sent(),
              worker.gradient_bytes() * static_cast<std::uint64_t>(worker.step()));
    EXPECT_EQ(worker.payload_bytes_sent(), worker.payload_bytes_expected());
  }
  for (int rank = 0; rank < 5; ++rank) EXPECT_EQ(job.pod(rank).wait().code, 0) << rank;
}

TEST(WorkerServers, TakeCompressedGradients) {
  WorkerJob plain(3);
  const auto wanted = plain.run(small_training(16, 12));
  for (const Json& compression : {Json{{"quantizationBits", 8}}, Json{{"topKFraction", 0.1}}}) {
    WorkerJob job(5);
    job.topology = "ParameterServer";
    job.servers = 2;
    job.compression = compression;
    const auto last = job.run(small_training(16, 12));
    for (std::size_t rank = 0; rank < 3; ++rank) {
      const auto& worker = last[rank].worker();
      EXPECT_EQ(last[rank].phase(), control::v1::PHASE_SUCCEEDED) << last[rank].message();
      EXPECT_EQ(worker.parameters_sha256(), last[0].worker().parameters_sha256());
      EXPECT_LT(worker.payload_bytes_sent(),
                worker.gradient_bytes() * static_cast<std::uint64_t>(worker.step()) / 3);
      EXPECT_EQ(worker.payload_bytes_sent(), worker.payload_bytes_expected());
    }
    EXPECT_NEAR(last[0].worker().accuracy(), wanted[0].worker().accuracy(), 0.05) << compression;
  }
}

TEST(WorkerServers, AsynchronousUpdatesLearnAsWell) {
  Json training = small_training(16, 12);
  WorkerJob plain(3);
  const auto wanted = plain.run(training);
  training["epochs"] = 4;  // of three times as many steps
  WorkerJob job(4);
  job.topology = "ParameterServer";
  job.updates = "Asynchronous";
  job.servers = 1;
  const auto last = job.run(training);
  for (std::size_t rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(last[rank].phase(), control::v1::PHASE_SUCCEEDED) << last[rank].message();
    EXPECT_EQ(last[rank].worker().parameters_sha256(), last[0].worker().parameters_sha256());
    EXPECT_EQ(last[rank].worker().payload_bytes_sent(), last[rank].worker().payload_bytes_expected());
  }
  EXPECT_NEAR(last[0].worker().accuracy(), wanted[0].worker().accuracy(), 0.05);
}

TEST(WorkerServers, AWorkerThatIsKilledLeavesServersAndOtherWorkersInTheirProcesses) {
  WorkerJob job(4);
  job.topology = "ParameterServer";
  job.servers = 1;
  const Json training = small_training(16, 100'000);
  job.configure(training);
  (void)job.pod(0).watch([](const auto& status) { return status.worker().step() > 50; });
  job.remove(1)->signal(SIGKILL);
  // The one that was killed is known at once: who is left waits for the next membership.
  const auto waiting = [](const control::v1::AgentStatus& status) {
    return status.phase() == control::v1::PHASE_WAITING;
  };
  const auto lost = job.pod(0).watch(waiting);
  EXPECT_THAT(lost.message(), HasSubstr("rank 1"));
  (void)job.pod(1).watch(waiting);
  (void)job.pod(2).watch(waiting);
  job.membership = 2;
  job.configure(training);
  const auto on = job.pod(0).watch([&](const auto& status) {
    return status.membership() == 2 && status.worker().step() > lost.worker().step() + 50;
  });
  EXPECT_EQ(on.phase(), control::v1::PHASE_RUNNING);
  const double updates = figure(job.pod(2).metrics(), "muster_server_updates_total{staleness=\"0\"}");
  EXPECT_GE(updates, 0);
}

// A linear model of one-hot examples, and steps so small that its gradients stay what they are: each weight
// tells from outside how often its example was trained on.
constexpr int kRows = 100;
constexpr int kBatch = 16;
constexpr double kRate = 2e-5;
constexpr double kOnce = kRate * 0.4 / kBatch;  // that a weight moves at least when its example comes

Json one_hot_training(const std::filesystem::path& folder, int epochs) {
  std::ofstream csv(folder / "one-hot.csv");
  for (int column = 0; column < kRows; ++column) csv << "x" << column << ",";
  csv << "label\n";
  for (int row = 0; row < kRows; ++row) {
    for (int column = 0; column < kRows; ++column) csv << (row == column ? "1," : "0,");
    csv << row % 2 << "\n";
  }
  std::filesystem::create_directories(folder / "model");
  return {{"model", {{"name", "softmax"}}},
          {"dataset",
           {{"name", "csv"},
            {"path", (folder / "one-hot.csv").string()},
            {"csv", {{"labelColumn", "label"}, {"testFraction", 0.04}}}}},
          {"optimizer", {{"name", "SGD"}, {"learningRate", kRate}, {"momentum", 0.0}}},
          {"checkpoint", {{"path", (folder / "model").string()}, {"everySteps", 1'000'000}}},
          {"batchSize", kBatch},
          {"epochs", epochs},
          {"seed", 7}};
}

std::vector<float> saved_model(const std::filesystem::path& folder) {
  std::ifstream file(folder / "model" / "model.safetensors", std::ios::binary);
  std::uint64_t header = 0;
  file.read(reinterpret_cast<char*>(&header), sizeof header);
  file.ignore(static_cast<std::streamsize>(header));
  std::vector<float> values;
  for (float value = 0; file.read(reinterpret_cast<char*>(&value), sizeof value);) values.push_back(value);
  return values;
}

class AServerThatIsKilled : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Updates, AServerThatIsKilled, testing::Values("Synchronous", "Asynchronous"),
                         [](const auto& one) { return std::string(one.param); });

TEST_P(AServerThatIsKilled, IsReplacedAloneAndEachExampleCountsOnceAnEpoch) {
  constexpr int kWorkers = 2;
  constexpr int kEpochs = 8'000;  // long enough to be killed in the middle of
  const auto setup = [](WorkerJob& job) {
    job.topology = "ParameterServer";
    job.updates = GetParam();
    job.servers = 2;
  };
  WorkerJob plain(kWorkers + 2);
  setup(plain);
  const auto wanted = plain.run(one_hot_training(plain.folder(), kEpochs));
  ASSERT_EQ(wanted[0].phase(), control::v1::PHASE_SUCCEEDED) << wanted[0].message();
  const auto counts = saved_model(plain.folder());
  ASSERT_EQ(counts.size(), 2U * kRows + 2);
  for (const int lost : {kWorkers, kWorkers + 1}) {
    WorkerJob job(kWorkers + 2);
    setup(job);
    const Json training = one_hot_training(job.folder(), kEpochs);
    auto spare = job.spare(lost);
    job.configure(training);
    (void)job.pod(0).watch([&](const auto& status) {
      return status.worker().step() > wanted[0].worker().step() / 4 ||
             status.phase() == control::v1::PHASE_FAILED;
    });
    job.replace(lost, std::move(spare))->signal(SIGKILL);
    const auto is_left = [&](const control::v1::AgentStatus& status) {
      return status.phase() == control::v1::PHASE_WAITING || status.phase() == control::v1::PHASE_FAILED ||
             status.phase() == control::v1::PHASE_SUCCEEDED;
    };
    for (int rank = 0; rank < job.size(); ++rank) {
      const auto left = job.pod(rank).watch(is_left);
      ASSERT_EQ(left.phase(), control::v1::PHASE_WAITING) << rank << ": " << left.message();
      if (rank == lost) continue;  // that is the one that replaces it
      EXPECT_THAT(left.message(), HasSubstr("rank " + std::to_string(lost)));
    }
    const auto last = job.run(training);  // of the next membership, in the same processes
    for (int worker = 0; worker < kWorkers; ++worker) {
      const auto& status = last[static_cast<std::size_t>(worker)];
      EXPECT_EQ(status.phase(), control::v1::PHASE_SUCCEEDED) << status.message();
      EXPECT_EQ(status.worker().step(), wanted[0].worker().step());
      EXPECT_GT(status.worker().resumed_from_step(), 0) << "in the middle";
    }
    for (int rank = 0; rank < job.size(); ++rank) EXPECT_EQ(job.pod(rank).wait().code, 0) << rank;
    const auto model = saved_model(job.folder());
    ASSERT_EQ(model.size(), counts.size());
    for (std::size_t i = 0; i < model.size(); ++i) EXPECT_NEAR(model[i], counts[i], 0.4 * kOnce) << i;
  }
}

TEST(WorkerPeers, EachLearnsFromItsOwnExamplesAndItsNeighboursAndSavesAModelOfItsOwn) {
  Json training = small_training(16, 6);
  WorkerJob plain(4);
  const auto wanted = plain.run(training);
  WorkerJob job(4);
  job.topology = "Gossip";
  const std::filesystem::path folder = job.folder() / "models";
  std::filesystem::create_directories(folder);
  training["checkpoint"] = {{"path", folder.string()}, {"everySteps", 10}};
  const auto last = job.run(training);
  std::set<std::string> models;
  for (int rank = 0; rank < 4; ++rank) {
    const auto& status = last[static_cast<std::size_t>(rank)];
    EXPECT_EQ(status.phase(), control::v1::PHASE_SUCCEEDED) << status.message();
    models.insert(status.worker().parameters_sha256());
    // Of four all are neighbours by 1 or 2.
    EXPECT_EQ(status.worker().payload_bytes_sent(),
              3 * status.worker().gradient_bytes() * static_cast<std::uint64_t>(status.worker().step()));
    EXPECT_EQ(status.worker().payload_bytes_sent(), status.worker().payload_bytes_expected());
    EXPECT_TRUE(std::filesystem::exists(folder / ("peer-" + std::to_string(rank)) / "model.safetensors"));
  }
  EXPECT_EQ(models.size(), 4U);
  EXPECT_NEAR(last[0].worker().accuracy(), wanted[0].worker().accuracy(), 0.05);
}

}  // namespace
}  // namespace muster::worker::test
