// tests/worker/worker_process_test.cc: real muster-worker processes, configured as the operator does it
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <future>
#include <thread>

#include "pod/pod_contract.h"
#include "tests/worker/mesh_support.h"
#include "tests/worker/worker_pod.h"

namespace muster::worker::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

TEST(WorkerProcess, FourWorkersEndWithTheSameParametersAndTheFormulasBytes) {
  WorkerJob job(4);
  const auto last = job.run(small_training(16, 3));
  for (int rank = 0; rank < 4; ++rank) {
    const auto& worker = last[static_cast<std::size_t>(rank)].worker();
    EXPECT_EQ(last[static_cast<std::size_t>(rank)].phase(), control::v1::PHASE_SUCCEEDED);
    EXPECT_EQ(worker.parameters_sha256(), last[0].worker().parameters_sha256());
    EXPECT_EQ(worker.parameters_sha256().size(), 64U);
    EXPECT_GT(worker.step(), 10);
    EXPECT_EQ(worker.step(), worker.total_steps());
    const std::uint64_t a_step = ring_bytes(worker.gradient_bytes() / sizeof(float), 4, rank);
    EXPECT_EQ(worker.payload_bytes_sent(), a_step * static_cast<std::uint64_t>(worker.step()));
    EXPECT_EQ(worker.payload_bytes_sent(), worker.payload_bytes_expected());
    const Exit exit = job.pod(rank).wait();
    EXPECT_EQ(exit.code, 0);
    control::v1::AgentStatus words;
    ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(exit.last_words, &words).ok()) << exit.last_words;
    EXPECT_EQ(words.phase(), control::v1::PHASE_SUCCEEDED);
    EXPECT_EQ(words.worker().parameters_sha256(), worker.parameters_sha256());
  }
  EXPECT_GT(last[0].worker().history_size(), 10);
  EXPECT_EQ(last[1].worker().history_size(), 0);
}

class WorkerTopology : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Topologies, WorkerTopology, testing::Values("HalvingDoubling", "Tree", "AllToAll"),
                         [](const auto& topology) { return topology.param; });

TEST_P(WorkerTopology, LearnsTheSameAsARingAndSendsItsOwnFormulasBytes) {
  constexpr std::uint64_t kRanks = 3;
  WorkerJob ring(kRanks);
  const auto of_ring = ring.run(small_training(16, 2));
  WorkerJob job(kRanks);
  job.topology = GetParam();
  const auto last = job.run(small_training(16, 2));
  std::uint64_t sent = 0;
  for (const auto& status : last) {
    EXPECT_EQ(status.phase(), control::v1::PHASE_SUCCEEDED) << status.message();
    EXPECT_EQ(status.worker().parameters_sha256(), last[0].worker().parameters_sha256());
    EXPECT_EQ(status.worker().payload_bytes_sent(), status.worker().payload_bytes_expected());
    sent += status.worker().payload_bytes_sent();
  }
  const auto& worker = last[0].worker();
  const std::uint64_t messages = GetParam() == "AllToAll" ? kRanks * (kRanks - 1) : 2 * (kRanks - 1);
  EXPECT_EQ(sent, messages * worker.gradient_bytes() * static_cast<std::uint64_t>(worker.step()));
  // Sums in another order: the same within rounding.
  const auto& curve = of_ring[0].worker();
  ASSERT_EQ(worker.history_size(), curve.history_size());
  for (int i = 0; i < curve.history_size(); ++i)
    EXPECT_NEAR(worker.history(i).loss(), curve.history(i).loss(),
                1e-4 * std::max(1.0, curve.history(i).loss()));
}

struct CompressedCase {
  const char* name;
  Json compression;
  double bytes;  // of those of a ring, at most
};
class WorkerCompression : public testing::TestWithParam<CompressedCase> {};
INSTANTIATE_TEST_SUITE_P(
    Ways, WorkerCompression,
    testing::Values(CompressedCase{"Int8", {{"quantizationBits", 8}}, 0.26},
                    CompressedCase{"TopK", {{"topKFraction", 0.02}, {"quantizationBits", 16}}, 0.04},
                    CompressedCase{"LowRank", {{"lowRank", 1}}, 0.3}),
    [](const auto& way) { return way.param.name; });

TEST_P(WorkerCompression, LearnsAsMuchWithFewerBytes) {
  constexpr int kRanks = 3;
  Json training = small_training(16, 8);
  training["model"] = {{"name", "mlp"}, {"hidden", {64}}};
  WorkerJob plain(kRanks);
  const auto of_plain = plain.run(training);
  WorkerJob job(kRanks);
  job.topology = GetParam().compression.contains("lowRank") ? "Ring" : "Direct";
  job.compression = GetParam().compression;
  const auto last = job.run(training);
  double sent = 0;
  for (const auto& status : last) {
    EXPECT_EQ(status.phase(), control::v1::PHASE_SUCCEEDED) << status.message();
    EXPECT_EQ(status.worker().parameters_sha256(), last[0].worker().parameters_sha256());
    EXPECT_EQ(status.worker().payload_bytes_sent(), status.worker().payload_bytes_expected());
    sent += static_cast<double>(status.worker().payload_bytes_sent());
  }
  double of_ring = 0;
  for (const auto& status : of_plain) of_ring += static_cast<double>(status.worker().payload_bytes_sent());
  EXPECT_LE(sent, GetParam().bytes * of_ring);
  EXPECT_NEAR(last[0].worker().accuracy(), of_plain[0].worker().accuracy(), 0.05);
}

TEST(WorkerProcess, EncryptionChangesNoBitAndCountsNoByte) {
  WorkerJob plain(3);
  WorkerJob encrypted(3);
  encrypted.encrypt = true;
  const auto of_plain = plain.run(small_training(16, 2));
  const auto of_encrypted = encrypted.run(small_training(16, 2));
  for (std::size_t rank = 0; rank < 3; ++rank) {
    const auto& one = of_plain[rank].worker();
    const auto& other = of_encrypted[rank].worker();
    EXPECT_EQ(of_encrypted[rank].phase(), control::v1::PHASE_SUCCEEDED);
    EXPECT_EQ(one.parameters_sha256(), other.parameters_sha256());
    EXPECT_EQ(one.payload_bytes_sent(), other.payload_bytes_sent());
  }
}

TEST(WorkerProcess, OneWorkerWithFourTimesTheBatchFollowsTheSameCurve) {
  WorkerJob four(4);
  const auto of_four = four.run(small_training(16, 2))[0];
  WorkerJob one(1);
  const auto of_one = one.run(small_training(64, 2))[0];
  ASSERT_GT(of_one.worker().history_size(), 10);
  ASSERT_EQ(of_one.worker().history_size(), of_four.worker().history_size());
  for (int i = 0; i < of_one.worker().history_size(); ++i) {
    const auto& a = of_one.worker().history(i);
    const auto& b = of_four.worker().history(i);
    EXPECT_EQ(a.at(), b.at());
    EXPECT_NEAR(a.loss(), b.loss(), 1e-4 * std::max(1.0, a.loss())) << "step " << a.at();
  }
  EXPECT_EQ(of_one.worker().payload_bytes_sent(), 0U);
}

// Until the worker waits for a membership after its first; what it says of that one's end.
std::string end_of_membership(WorkerPod& pod) {
  const auto status = pod.watch([](const auto& told) {
    return (told.membership() == 1 && told.phase() == control::v1::PHASE_WAITING) ||
           told.phase() == control::v1::PHASE_FAILED;
  });
  EXPECT_EQ(status.phase(), control::v1::PHASE_WAITING) << status.message();
  return status.message();
}

// The signal goes to rank 2 of 4; what the others say of it within the second.
void expect_all_others_name(int signal, const std::string& fact) {
  WorkerJob job(4);
  job.configure(small_training(16, 1'000'000));
  job.pod(2).watch([](const auto& status) { return status.worker().step() >= 5; });
  const Instant struck = steady_clock::now();
  job.pod(2).signal(signal);
  const std::string lost = fmt::format("rank 2 ({}:8471) {}", job.pod(2).ip(), fact);
  for (const int rank : {0, 1, 3}) {
    const std::string words = end_of_membership(job.pod(rank));
    EXPECT_LT(steady_clock::now() - struck, milliseconds(1000)) << "rank " << rank;
    EXPECT_THAT(words, HasSubstr(lost)) << "rank " << rank;
    EXPECT_THAT(words, HasSubstr(" at step "));
  }
}

TEST(WorkerProcess, AllOthersNameAKilledWorkerWithinASecondAndStay) {
  expect_all_others_name(SIGKILL, "closed the connection");
}

TEST(WorkerProcess, AllOthersNameAFrozenWorkerWithinASecondAndStay) {
  expect_all_others_name(SIGSTOP, "stands still");
}

TEST(WorkerProcess, AStandstillWithinThePeerTimeoutIsOutlived) {
  WorkerJob job(2);
  job.peer_timeout_seconds = 20;
  job.configure(small_training(16, 1'000'000));
  const auto before = job.pod(0).watch([](const auto& status) { return status.worker().step() >= 5; });
  job.pod(1).signal(SIGSTOP);
  std::this_thread::sleep_for(milliseconds(1500));  // a live migration: the standstill itself is the subject
  job.pod(1).signal(SIGCONT);
  const auto after = job.pod(0).watch([&](const auto& status) {
    return status.worker().step() > before.worker().step() + 100 ||
           status.phase() == control::v1::PHASE_FAILED;
  });
  EXPECT_EQ(after.phase(), control::v1::PHASE_RUNNING) << after.message();
}

TEST(WorkerProcess, AStoppedJobResumesToTheSameBitsAsOneThatWasNot) {
  const auto with_checkpoint = [](const std::filesystem::path& folder) {
    Json training = small_training(8, 60);  // some seconds, so that there is a middle
    training["model"] = {{"name", "mlp"}, {"hidden", {512}}};
    training["checkpoint"] = {{"path", folder.string()}, {"everySteps", 1'000'000}};
    return training;
  };
  const auto whole_folder = fresh_folder();
  const auto split_folder = fresh_folder();
  WorkerJob whole(2);
  const auto expected = whole.run(with_checkpoint(whole_folder))[0];
  {
    WorkerJob first(2, {}, {"--configure-timeout", "15"});
    first.configure(with_checkpoint(split_folder));
    first.pod(1).watch([](const auto& status) { return status.worker().step() >= 20; });
    const Instant asked = steady_clock::now();
    first.pod(1).signal(SIGTERM);
    const Exit stopped = first.pod(1).wait();
    EXPECT_EQ(stopped.code, 143);
    EXPECT_LT(stopped.at - asked, milliseconds(3000));
    // By the flag in the exchange, or by the words of the one that has ended, whichever comes first.
    EXPECT_THAT(end_of_membership(first.pod(0)), HasSubstr("worker was asked to stop"));
    first.pod(0).signal(SIGTERM);
    EXPECT_EQ(first.pod(0).wait().code, 143);
  }
  WorkerJob second(2);
  const auto resumed = second.run(with_checkpoint(split_folder))[0];
  EXPECT_GE(resumed.worker().resumed_from_step(), 20);
  EXPECT_LT(resumed.worker().resumed_from_step(), resumed.worker().total_steps());
  EXPECT_EQ(resumed.worker().step(), expected.worker().step());
  EXPECT_EQ(resumed.worker().parameters_sha256(), expected.worker().parameters_sha256());
  EXPECT_TRUE(std::filesystem::exists(split_folder / "model.safetensors"));
  std::filesystem::remove_all(whole_folder);
  std::filesystem::remove_all(split_folder);
}

TEST(WorkerProcess, WrongAssignmentsAreRefusedAndTheRightOneStillTaken) {
  WorkerJob job(1);
  auto assignment = job.assignment(0, small_training(16, 1));
  assignment.set_uid("another");
  EXPECT_EQ(job.pod(0).configure(assignment).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  assignment = job.assignment(
      0, Json{{"model", {{"name", "cnn"}}}, {"dataset", {{"name", "synthetic"}}}, {"epoch", 3}});
  const grpc::Status misspelt = job.pod(0).configure(assignment);
  EXPECT_EQ(misspelt.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(misspelt.error_message(), HasSubstr("spec.training.epoch"));
  for (const std::size_t bytes : {0UL, 31UL, 33UL}) {
    assignment = job.assignment(0, small_training(16, 1));
    *assignment.mutable_worker()->add_roster() = assignment.worker().roster(0);
    assignment.set_membership_key(std::string(bytes, 'k'));
    const grpc::Status keyless = job.pod(0).configure(assignment);
    EXPECT_EQ(keyless.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(keyless.error_message(),
                HasSubstr(fmt::format("of 2 workers has a membership key of {} bytes instead of 32", bytes)));
  }
  job.run(small_training(16, 1));
  EXPECT_EQ(job.pod(0).wait().code, 0);
}

TEST(WorkerProcess, ADivergedLossNamesTheStepAndIsNotRetried) {
  WorkerJob job(2);
  Json training = small_training(16, 50);
  training["optimizer"]["learningRate"] = 1e6;
  training["optimizer"]["momentum"] = 0.999;
  training["model"] = {{"name", "mlp"}};
  job.configure(training);
  for (const int rank : {0, 1}) {
    const Exit exit = job.pod(rank).wait();
    // Also of one that hears of the other's end before it sees the loss itself.
    EXPECT_EQ(exit.code, kExitInvalid) << exit.last_words;
    EXPECT_THAT(exit.last_words, HasSubstr("spec.training.optimizer.learningRate"));
    EXPECT_THAT(exit.last_words, HasSubstr("step "));
  }
}

TEST(WorkerProcess, AMissingDatasetIsNamedAndNotRetried) {
  WorkerJob job(1);
  Json training = small_training(16, 1);
  training["dataset"] = {{"name", "fashion-mnist"}, {"path", "/no/such/folder"}};
  job.configure(training);
  const Exit exit = job.pod(0).wait();
  EXPECT_EQ(exit.code, kExitInvalid);
  EXPECT_THAT(exit.last_words, HasSubstr("/no/such/folder"));
}

TEST(WorkerProcess, AFolderThatCannotBeWrittenIsAStorageFailureForTheJob) {
  WorkerJob job(2, {}, {"--configure-timeout", "15"});
  const auto file = job.folder() / "a-file";
  std::ofstream(file) << "in the way";
  Json training = small_training(16, 1'000);
  training["checkpoint"] = {{"path", (file / "checkpoints").string()}, {"everySteps", 2}};
  job.configure(training);
  const Exit exit = job.pod(0).wait();
  EXPECT_EQ(exit.code, kExitStorage);
  EXPECT_THAT(exit.last_words, HasSubstr(file.string()));
  EXPECT_THAT(end_of_membership(job.pod(1)), HasSubstr("rank 0 ("));
}

TEST(WorkerProcess, WithoutAnAssignmentItEndsWhenTimeIsUp) {
  const auto folder = fresh_folder();
  WorkerPod pod("127.9.8.7", folder, {}, {"--configure-timeout", "0.2"});
  const Exit exit = pod.wait();
  EXPECT_EQ(exit.code, kExitRetry);
  EXPECT_THAT(exit.last_words, HasSubstr("no assignment came from the operator"));
  std::filesystem::remove_all(folder);
}

TEST(WorkerProcess, AStopWhileItWaitsEndsItAtOnce) {
  WorkerJob job(1);
  job.pod(0).watch([](const auto& status) { return status.phase() == control::v1::PHASE_WAITING; });
  const Instant asked = steady_clock::now();
  job.pod(0).signal(SIGTERM);
  const Exit exit = job.pod(0).wait();
  EXPECT_EQ(exit.code, 143);
  EXPECT_LT(exit.at - asked, milliseconds(1500));
}

}  // namespace
}  // namespace muster::worker::test
