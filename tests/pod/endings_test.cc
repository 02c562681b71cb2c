// tests/worker/ending_test.cc: which failures a restart may mend
#include "pod/endings.h"

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

}  // namespace
}  // namespace muster
