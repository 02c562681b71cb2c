// tests/worker/nccl/worker_nccl_process_test.cc: muster-worker processes that sum by a fake NCCL
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include "common/pods/device_failure.h"
#include "pod/pod_contract.h"
#include "tests/support/temporary_folder.h"
#include "tests/worker/worker_pod.h"

namespace muster::worker::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;

// Where the loader finds the fake, before anything that a machine may have.
std::map<std::string, std::string> with_fake(const std::string& rules = "", const char* fake = "/fake_nccl") {
  const std::string folder = MUSTER_FAKE_NCCL_FOLDER;
  return {{"LD_LIBRARY_PATH", folder + fake + ":" + folder + "/fake_nvml"}, {"MUSTER_FAKE_NCCL", rules}};
}

bool waits_or_failed(const control::v1::AgentStatus& status) {
  return status.phase() == control::v1::PHASE_WAITING || status.phase() == control::v1::PHASE_FAILED;
}

TEST(WorkerNccl, TwoWorkersEndWithTheBitsOfARing) {
  WorkerJob ring(2);
  const auto of_ring = ring.run(small_training(16, 2));
  WorkerJob job(2, with_fake());
  job.topology = "NCCL";
  const auto last = job.run(small_training(16, 2));
  for (int rank = 0; rank < 2; ++rank) {
    const auto& status = last[static_cast<std::size_t>(rank)];
    EXPECT_EQ(status.phase(), control::v1::PHASE_SUCCEEDED) << status.message();
    EXPECT_EQ(status.worker().parameters_sha256(), of_ring[0].worker().parameters_sha256());
    EXPECT_EQ(status.worker().payload_bytes_sent(), 0U) << "NCCL does not tell";
    EXPECT_EQ(job.pod(rank).wait().code, 0);
  }
  EXPECT_EQ(last[0].worker().topology(), "NCCL");
}

TEST(WorkerNccl, AnImageWithoutNcclIsRefusedByNameWithTheRemedy) {
  WorkerJob job(2);  // this machine has none; where it has, it has no GPU
  job.topology = "NCCL";
  job.configure(small_training(16, 2));
  for (int rank = 0; rank < 2; ++rank) {
    const Exit exit = job.pod(rank).wait();
    EXPECT_EQ(exit.code, kExitInvalid);
    EXPECT_THAT(exit.last_words, AllOf(HasSubstr("topology NCCL"), HasSubstr("topology: Ring")));
  }
}

TEST(WorkerNccl, AKernelThatHangsEndsTheStepByItsDeadlineWithRankAndStep) {
  WorkerJob job(2, with_fake("rank=1 at=20 call=ncclAllReduce do=stall"));
  job.topology = "NCCL";
  job.configure(small_training(16, 400), 2);
  for (int rank = 0; rank < 2; ++rank) {
    const auto status = job.pod(rank).watch(waits_or_failed);
    EXPECT_EQ(status.phase(), control::v1::PHASE_WAITING) << "the others, and it, can go on";
    EXPECT_THAT(status.message(), AllOf(HasSubstr("rank "), HasSubstr(" at step ")));
  }
}

TEST(WorkerNccl, AWorkerThatDiesInASumIsNamedAndTheRestShrinks) {
  // The last one, so that nobody has its rank afterwards.
  WorkerJob job(3, with_fake("rank=2 at=20 call=ncclAllReduce do=die"));
  job.topology = "NCCL";
  const Json training = small_training(16, 4);
  job.configure(training, 30);
  EXPECT_EQ(job.pod(2).wait().code, 128 + SIGKILL);
  for (const int rank : {0, 1}) {
    const auto status = job.pod(rank).watch(waits_or_failed);
    EXPECT_EQ(status.phase(), control::v1::PHASE_WAITING) << status.message();
    EXPECT_THAT(status.message(), AllOf(HasSubstr("rank 2 ("), HasSubstr(" at step ")));
  }
  const auto gone = job.remove(2);
  for (const auto& status : job.run(training))
    EXPECT_EQ(status.phase(), control::v1::PHASE_SUCCEEDED) << status.message();
}

TEST(WorkerNccl, AGpuThatFailsEndsItsWorkerSoThatItsPodIsReplaced) {
  WorkerJob job(2, with_fake("rank=1 at=20 call=ncclAllReduce do=async=1"));
  job.topology = "NCCL";
  job.configure(small_training(16, 400), 30);
  const Exit exit = job.pod(1).wait();
  EXPECT_EQ(exit.code, kExitRetry);
  EXPECT_THAT(exit.last_words,
              AllOf(HasSubstr("ncclUnhandledCudaError (1)"), HasSubstr("GPU, driver and network")));
  EXPECT_EQ(job.pod(0).watch(waits_or_failed).phase(), control::v1::PHASE_WAITING);
}

TEST(WorkerNccl, AnXidThatNeedsAnotherGpuEndsTheWorkerInTheWordsOfADevicesFault) {
  const TemporaryFolder folder;
  const std::string fault = folder.path() / "fault";
  auto environment = with_fake();
  environment["MUSTER_FAKE_NVML"] = "xid=79@" + fault;
  WorkerJob job(2, environment);
  job.topology = "NCCL";
  job.configure(small_training(4, 400), 30);
  job.pod(0).watch([](const auto& status) { return status.worker().step() > 0; });
  EXPECT_THAT(job.pod(0).metrics(),
              HasSubstr(R"(muster_gpu_utilization_ratio{gpu="0",uuid="GPU-fake-7"} 0.42)"));
  std::ofstream(fault) << job.pod(0).ip();
  const Exit exit = job.pod(0).wait();
  EXPECT_EQ(exit.code, kExitRetry);
  EXPECT_TRUE(tells_of_failed_device(exit.last_words)) << exit.last_words;
  EXPECT_EQ(job.pod(1).watch(waits_or_failed).phase(), control::v1::PHASE_WAITING) << "it can go on";
}

}  // namespace
}  // namespace muster::worker::test
