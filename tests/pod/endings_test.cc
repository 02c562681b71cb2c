// tests/pod/endings_test.cc: which failures a restart may mend
#include "pod/endings.h"

#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "pod/pod_contract.h"

namespace muster {
namespace {

TEST(Ending, SpecAndDataAreNotRetried) {
  for (const Code code : {Code::kInvalidArgument, Code::kNotFound, Code::kDataLoss, Code::kFailedPrecondition,
                          Code::kUnimplemented, Code::kOutOfRange, Code::kPermissionDenied}) {
    EXPECT_EQ(ending_of(Error{code, "m"}).exit_code, kExitInvalid);
  }
  EXPECT_EQ(ending_of(Error{Code::kInvalidArgument, "why"}).message, "why");
}

TEST(Ending, LostPeersAndWaitsThatRanOutAre) {
  for (const Code code : {Code::kUnavailable, Code::kDeadlineExceeded, Code::kAborted, Code::kInternal,
                          Code::kResourceExhausted}) {
    EXPECT_EQ(ending_of(Error{code, "m"}).exit_code, kExitRetry);
  }
}

TEST(Ending, OfStorageOnlyFilesOfAnotherTrainingAreTheSpecsFault) {
  EXPECT_EQ(storage_ending_of(failed_precondition("of another training")).exit_code, kExitInvalid);
  for (const Code code : {Code::kPermissionDenied, Code::kResourceExhausted, Code::kDataLoss})
    EXPECT_EQ(storage_ending_of(Error{code, "m"}).exit_code, kExitStorage);
}

control::v1::AgentStatus success() {
  control::v1::AgentStatus status;
  status.set_membership(9'007'199'254'740'992);
  status.set_phase(control::v1::PHASE_SUCCEEDED);
  status.set_pod_uid(std::string(36, 'f'));
  return status;
}

TEST(LastWords, LeaveOutWhatDoesNotFitSoThatNobodyCutsThem) {
  control::v1::AgentStatus status = success();
  auto& worker = *status.mutable_worker();
  worker.set_step(9'007'199'254'740'992);
  worker.set_total_steps(9'007'199'254'740'992);
  for (const auto set :
       {&control::v1::WorkerProgress::set_epoch, &control::v1::WorkerProgress::set_loss,
        &control::v1::WorkerProgress::set_test_loss, &control::v1::WorkerProgress::set_accuracy,
        &control::v1::WorkerProgress::set_examples_per_second})
    (worker.*set)(1.0 / 3);
  for (const auto set : {&control::v1::WorkerProgress::set_payload_bytes_sent,
                         &control::v1::WorkerProgress::set_payload_bytes_expected,
                         &control::v1::WorkerProgress::set_gradient_bytes})
    (worker.*set)(9'007'199'254'740'992);
  worker.set_resumed_from_step(9'007'199'254'740'992);
  worker.set_parameters_sha256(std::string(64, 'a'));
  for (int i = 0; i < 200; ++i) worker.add_history()->set_at(i);
  for (int i = 1; i <= 8; ++i) {
    auto& epoch = *worker.add_ledger();
    epoch.set_epoch(i);
    epoch.set_expected(9'007'199'254'740'992);
    epoch.set_counted(9'007'199'254'740'992);
    epoch.set_digest("0123456789abcdef");
  }
  status.set_message(std::string(500, 'm'));
  status.add_warnings("short");
  status.add_warnings(std::string(1024, 'w'));
  status.add_warnings("after the long one");

  const std::string words = last_words_of(status);
  EXPECT_LE(words.size(), 800U);
  control::v1::AgentStatus read;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(words, &read).ok()) << words;
  EXPECT_EQ(read.phase(), control::v1::PHASE_SUCCEEDED);
  EXPECT_EQ(read.worker().step(), worker.step());
  EXPECT_EQ(read.worker().parameters_sha256(), worker.parameters_sha256());
}

TEST(LastWords, HoldTheNewestBalanceOfTheLedger) {
  control::v1::AgentStatus status = success();
  for (int i = 1; i <= 8; ++i) status.mutable_worker()->add_ledger()->set_epoch(i);
  control::v1::AgentStatus read;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(last_words_of(status), &read).ok());
  ASSERT_EQ(read.worker().ledger_size(), 1);
  EXPECT_EQ(read.worker().ledger(0).epoch(), 8);
}

TEST(LastWords, KeepTheWarningsThatFit) {
  control::v1::AgentStatus status = success();
  status.add_warnings("short");
  status.add_warnings(std::string(1024, 'w'));
  control::v1::AgentStatus read;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(last_words_of(status), &read).ok());
  ASSERT_EQ(read.warnings_size(), 1);
  EXPECT_EQ(read.warnings(0), "short");
}

}  // namespace
}  // namespace muster
