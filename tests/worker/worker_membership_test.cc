// tests/worker/worker_membership_test.cc: real muster-worker processes that go from one membership to the
// next
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <array>
#include <csignal>

#include "pod/pod_contract.h"
#include "tests/worker/worker_pod.h"

namespace muster::worker::test {
namespace {

using testing::HasSubstr;

constexpr int kWorkers = 3;
constexpr std::int64_t kBatch = 8;

Json training() {
  Json json = small_training(kBatch, 80);  // some seconds, so that there is a middle
  json["model"] = {{"name", "mlp"}, {"hidden", {512}}};
  return json;
}

Json training(const std::filesystem::path& checkpoints) {
  Json json = training();
  json["checkpoint"] = {{"path", checkpoints.string()}, {"everySteps", 10}};
  return json;
}

bool past_a_checkpoint(const control::v1::AgentStatus& status) { return status.worker().step() >= 25; }

class WorkerMembership : public testing::Test {
 protected:
  // To the end of the present membership, which resumed somewhere: the digest of the parameters.
  static std::string finish(WorkerJob& job) {
    std::string digest;
    for (int rank = 0; rank < job.size(); ++rank) {
      const Exit exit = job.pod(rank).wait();
      EXPECT_EQ(exit.code, 0) << "rank " << rank;
      control::v1::AgentStatus last;
      EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(exit.last_words, &last).ok())
          << exit.last_words;
      EXPECT_EQ(last.membership(), job.membership);
      EXPECT_GT(last.worker().resumed_from_step(), 0);
      EXPECT_EQ(last.worker().step(), last.worker().total_steps());
      if (rank == 0) digest = last.worker().parameters_sha256();
      EXPECT_EQ(last.worker().parameters_sha256(), digest);
    }
    return digest;
  }

  // What comes out where nobody is replaced.
  static std::string undisturbed() {
    static const std::string kDigest = [] {
      const auto folder = fresh_folder();
      WorkerJob job(kWorkers);
      const auto last = job.run(training(folder));
      std::filesystem::remove_all(folder);
      return last[0].worker().parameters_sha256();
    }();
    return kDigest;
  }

  const std::filesystem::path checkpoints_ = fresh_folder();
  ~WorkerMembership() override { std::filesystem::remove_all(checkpoints_); }
};

// Ranks are told one after the other, in this order.
class WorkerMembershipOrder : public WorkerMembership,
                              public testing::WithParamInterface<std::vector<int>> {};
INSTANTIATE_TEST_SUITE_P(Told, WorkerMembershipOrder,
                         testing::Values(std::vector<int>{0, 1, 2}, std::vector<int>{2, 1, 0}));

TEST_P(WorkerMembershipOrder, SurvivorsGoOnFromTheCheckpointBesideAnotherWorker) {
  WorkerJob job(kWorkers);
  auto spare = job.spare(1);
  job.configure(training(checkpoints_));
  job.pod(0).watch(past_a_checkpoint);
  const auto replaced = job.replace(1, std::move(spare));
  for (const int rank : GetParam()) {
    const grpc::Status told = job.pod(rank).configure(job.assignment(rank, training(checkpoints_)));
    ASSERT_TRUE(told.ok()) << told.error_message();
    // Who is told late is not taken along by those that are gone already.
    const auto left = replaced->watch([](const auto& status) {
      return status.phase() == control::v1::PHASE_WAITING || status.phase() == control::v1::PHASE_FAILED;
    });
    EXPECT_THAT(left.message(), HasSubstr("goes on in another membership"));
  }
  EXPECT_EQ(finish(job), undisturbed());
}

TEST_F(WorkerMembership, ANewRankZeroGoesOnFromTheCheckpointOfTheOneBefore) {
  WorkerJob job(kWorkers);
  auto spare = job.spare(0);
  job.configure(training(checkpoints_));
  job.pod(1).watch(past_a_checkpoint);
  job.pod(0).signal(SIGSTOP);  // it is replaced because it stands still, and writes no checkpoint any more
  const auto replaced = job.replace(0, std::move(spare));
  job.configure(training(checkpoints_));
  EXPECT_EQ(finish(job), undisturbed());
}

TEST_F(WorkerMembership, OneThatComesRightBehindAnotherTakesItsPlace) {
  WorkerJob job(kWorkers);
  std::array spares{job.spare(2), job.spare(2), job.spare(2)};
  job.configure(training(checkpoints_));
  job.pod(0).watch(past_a_checkpoint);
  // Nobody else is told of memberships 2 and 3: they never come about.
  std::vector<std::unique_ptr<WorkerPod>> replaced;
  for (auto& spare : spares) {
    replaced.push_back(job.replace(2, std::move(spare)));
    EXPECT_TRUE(job.pod(0).configure(job.assignment(0, training(checkpoints_))).ok());
  }
  job.configure(training(checkpoints_));
  EXPECT_EQ(finish(job), undisturbed());
}

TEST_F(WorkerMembership, AnotherSizeAndOtherRanks) {
  WorkerJob job(kWorkers);
  job.configure(training(checkpoints_));
  job.pod(0).watch(past_a_checkpoint);
  job.pod(0).signal(SIGSTOP);
  const auto removed = job.remove(0);
  job.configure(training(checkpoints_));
  EXPECT_EQ(finish(job).size(), 64U);
}

TEST_F(WorkerMembership, TrafficIsCountedOn) {
  WorkerJob job(2);
  auto spare = job.spare(1);
  job.configure(training(checkpoints_));
  job.pod(0).watch(past_a_checkpoint);
  const auto bytes = [&] {
    const std::string metrics = job.pod(0).metrics();
    const std::string name = "\nmuster_worker_payload_bytes_total ";
    return std::stod(metrics.substr(metrics.find(name) + name.size()));
  };
  const double before = bytes();
  EXPECT_GT(before, 0);
  const auto replaced = job.replace(1, std::move(spare));
  job.configure(training(checkpoints_));
  const auto last = job.pod(0).watch([](const auto& status) {
    // What it tells before it runs is of the membership before.
    return status.membership() == 2 && status.phase() == control::v1::PHASE_RUNNING &&
           status.worker().payload_bytes_sent() > 0;
  });
  EXPECT_GE(bytes(), before + static_cast<double>(last.worker().payload_bytes_sent()));
}

// Without a checkpoint: what they go on with is in their memory.
TEST_P(WorkerMembershipOrder, SurvivorsOfAKilledWorkerGoOnFromTheLastStepAndGiveTheirStateToAnother) {
  WorkerJob job(kWorkers);
  auto spare = job.spare(1);
  job.configure(training());
  job.pod(0).watch(past_a_checkpoint);
  const auto killed = job.replace(1, std::move(spare));
  killed->signal(SIGKILL);
  std::int64_t step = 0;
  for (const int rank : {0, 2}) {
    const auto left = job.pod(rank).watch([](const auto& status) {
      return status.phase() == control::v1::PHASE_WAITING || status.phase() == control::v1::PHASE_FAILED;
    });
    EXPECT_EQ(left.phase(), control::v1::PHASE_WAITING) << left.message();
    EXPECT_THAT(left.message(), HasSubstr("rank 1 ("));
    step = std::max(step, left.worker().step());
  }
  for (const int rank : GetParam())
    ASSERT_TRUE(job.pod(rank).configure(job.assignment(rank, training())).ok());
  const auto again = job.pod(1).watch([](const auto& status) { return status.worker().step() > 0; });
  EXPECT_GE(again.worker().resumed_from_step(), step);
  EXPECT_EQ(finish(job), undisturbed());
}

TEST_F(WorkerMembership, SurvivorsGoOnAloneAndTakeOthersInLater) {
  WorkerJob job(kWorkers);
  auto spare = job.spare(0);
  job.configure(training());
  job.pod(1).watch(past_a_checkpoint);
  job.pod(0).signal(SIGKILL);
  const auto killed = job.remove(0);
  job.configure(training());  // two of three, the first one of them is rank 0 now
  const auto two = job.pod(0).watch([](const auto& status) {
    return status.membership() == 2 && status.worker().step() > status.worker().resumed_from_step() + 5;
  });
  EXPECT_GE(two.worker().resumed_from_step(), 25);
  EXPECT_GT(two.worker().history_size(), 10) << "what was told before is told on";
  job.pod(0).signal(SIGKILL);
  const auto next = job.remove(0);
  job.configure(training());  // one alone
  job.pod(0).watch([](const auto& status) {
    return status.membership() == 3 && status.worker().step() > status.worker().resumed_from_step() + 5;
  });
  job.add(std::move(spare));
  job.configure(training());
  const auto joined = job.pod(1).watch([](const auto& status) { return status.worker().step() > 0; });
  EXPECT_GT(joined.worker().resumed_from_step(), two.worker().step());
  EXPECT_EQ(finish(job).size(), 64U);
}

TEST_F(WorkerMembership, AWindowOfLocalStepsThatLosesAWorkerIsMadeAgain) {
  WorkerJob job(kWorkers);
  job.local_steps = 7;
  job.configure(training());
  job.pod(0).watch(past_a_checkpoint);
  job.pod(1).signal(SIGKILL);
  const auto killed = job.remove(1);
  job.configure(training());
  const auto last =
      job.pod(0).watch([](const auto& status) { return status.phase() == control::v1::PHASE_SUCCEEDED; });
  ASSERT_GT(last.worker().ledger_size(), 0);
  for (const auto& epoch : last.worker().ledger()) {
    EXPECT_EQ(epoch.counted(), epoch.expected()) << "epoch " << epoch.epoch();
    EXPECT_EQ(epoch.twice() + epoch.missed(), 0) << "epoch " << epoch.epoch();
  }
  EXPECT_EQ(last.worker().payload_bytes_sent(), last.worker().payload_bytes_expected());
  EXPECT_FALSE(last.worker().has_state_sha256()) << "momentum is each rank's own";
  EXPECT_EQ(finish(job).size(), 64U);
}

TEST_F(WorkerMembership, WhoIsLeftBehindAsksForARestart) {
  WorkerJob job(kWorkers, {}, {"--configure-timeout", "15"});
  auto spare = job.spare(1);
  job.configure(training(checkpoints_));
  job.pod(0).watch(past_a_checkpoint);
  const auto replaced = job.replace(1, std::move(spare));
  job.configure(training(checkpoints_));
  const Exit exit = replaced->wait();
  EXPECT_EQ(exit.code, kExitRetry);
  EXPECT_THAT(exit.last_words, HasSubstr("goes on in another membership"));
}

}  // namespace
}  // namespace muster::worker::test
