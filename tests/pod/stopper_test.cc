// tests/pod/stopper_test.cc: work that is broken off for the next membership, whenever its assignment comes
#include "pod/stopper.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

namespace muster {
namespace {

struct Calls {
  int soft = 0;
  int hard = 0;

  auto abort() {
    return [this](bool is_hard) { ++(is_hard ? hard : soft); };
  }
};

class StopperTest : public testing::Test {
 protected:
  SignalWaiter signals_;
  Stopper stopper_{signals_};
  Calls calls_;
};

TEST_F(StopperTest, WorkIsBrokenOffForALaterMembership) {
  stopper_.working_for(1);
  stopper_.set_abort(calls_.abort());
  stopper_.break_off_before(2);
  EXPECT_EQ(calls_.hard, 1);
  EXPECT_EQ(calls_.soft, 0);
  EXPECT_FALSE(stopper_.requested());
}

TEST_F(StopperTest, AnAssignmentThatComesBeforeTheWorkCanBeBrokenOffIsNotForgotten) {
  stopper_.working_for(1);
  stopper_.break_off_before(2);
  stopper_.set_abort(calls_.abort());
  EXPECT_EQ(calls_.hard, 1);
}

TEST_F(StopperTest, TheAssignmentThatTheWorkIsForBreaksNothingOff) {
  stopper_.working_for(2);
  stopper_.set_abort(calls_.abort());
  stopper_.break_off_before(2);  // told late: the work has begun already
  EXPECT_EQ(calls_.hard, 0);
  stopper_.break_off_before(3);
  stopper_.working_for(3);
  stopper_.set_abort(calls_.abort());
  EXPECT_EQ(calls_.hard, 1);
}

TEST_F(StopperTest, AWaitForAnAssignmentIsNotBrokenOffByOne) {
  stopper_.set_abort(calls_.abort());
  stopper_.break_off_before(2);
  EXPECT_EQ(calls_.hard, 0);
}

// SIGXFSZ ended `muster run` without a word, and a worker as if by a crash.
TEST_F(StopperTest, AWriteBeyondTheLimitOfAFileFailsAndEndsNothing) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::tmpfile(), &std::fclose);
  ASSERT_NE(file, nullptr);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit nothing{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &nothing), 0);
  const auto written = ::write(::fileno(file.get()), "x", 1);
  const int why = errno;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(written, -1);
  EXPECT_EQ(why, EFBIG);
}

}  // namespace
}  // namespace muster
