// tests/worker/worker_servers_test.cc: real muster-worker processes as workers and parameter servers, and as
// peers
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
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

// One of two servers is killed in the middle of a training whose end is known: the others go on in their
// processes, and end with what they would have ended with.
class AServerThatIsKilled : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Updates, AServerThatIsKilled, testing::Values("Synchronous", "Asynchronous"),
                         [](const auto& one) { return std::string(one.param); });

TEST_P(AServerThatIsKilled, IsReplacedAloneAndNoUpdateIsLost) {
  const bool asynchronous = std::string_view(GetParam()) == "Asynchronous";
  constexpr int kWorkers = 2;
  const Json training = small_training(16, asynchronous ? 60 : 120);
  WorkerJob plain(kWorkers + 2);
  plain.topology = "ParameterServer";
  plain.updates = GetParam();
  plain.servers = 2;
  const auto wanted = plain.run(training);
  ASSERT_EQ(wanted[0].phase(), control::v1::PHASE_SUCCEEDED) << wanted[0].message();
  for (const int lost : {kWorkers, kWorkers + 1}) {
    WorkerJob job(kWorkers + 2);
    job.topology = "ParameterServer";
    job.updates = GetParam();
    job.servers = 2;
    job.configure(training);
    auto spare = job.spare(lost);
    const auto middle = job.pod(0).watch([&](const auto& status) {
      return status.worker().step() > wanted[0].worker().step() / 3 ||
             status.phase() == control::v1::PHASE_FAILED;
    });
    ASSERT_EQ(middle.phase(), control::v1::PHASE_RUNNING) << middle.message();
    job.replace(lost, std::move(spare))->signal(SIGKILL);
    const auto left = [&](const control::v1::AgentStatus& status) {
      return status.phase() == control::v1::PHASE_WAITING;
    };
    std::int64_t reached = 0;
    for (int worker = 0; worker < kWorkers; ++worker) {
      const auto waits = job.pod(worker).watch(left);
      EXPECT_THAT(waits.message(), HasSubstr("rank " + std::to_string(lost)));
      reached = std::max(reached, waits.worker().step());
    }
    ASSERT_LT(reached, wanted[0].worker().step()) << "it was killed in the middle";
    (void)job.pod(2 * kWorkers + 1 - lost).watch(left);  // the other server
    const auto last = job.run(training);
    for (int worker = 0; worker < kWorkers; ++worker) {
      const auto& status = last[static_cast<std::size_t>(worker)];
      EXPECT_EQ(status.phase(), control::v1::PHASE_SUCCEEDED) << status.message();
      EXPECT_EQ(status.worker().step(), wanted[0].worker().step());
      EXPECT_EQ(status.worker().resumed_from_step(), reached) << "nobody went back";
      EXPECT_EQ(status.worker().parameters_sha256(), last[0].worker().parameters_sha256());
    }
    if (!asynchronous) {
      EXPECT_EQ(last[0].worker().parameters_sha256(), wanted[0].worker().parameters_sha256())
          << "as if nobody had been killed";
    }
    for (int rank = 0; rank < job.size(); ++rank) EXPECT_EQ(job.pod(rank).wait().code, 0) << rank;
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
