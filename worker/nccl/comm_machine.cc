// worker/nccl/comm_machine.cc: deadlines, results and losses, and what each of them means
#include "worker/nccl/comm_machine.h"

#include <fmt/format.h>

#include <utility>

#include "common/base/check.h"
#include "worker/nccl/library.h"

namespace muster::worker::nccl {
namespace {

std::string_view call_of(Work work) {
  switch (work) {
    case Work::kJoin: return "ncclCommInitRankConfig";
    case Work::kShrink: return "ncclCommShrink";
    case Work::kSum: return "ncclAllReduce";
    case Work::kFinish: return "ncclCommFinalize";
  }
  return "";
}

constexpr std::string_view kRemedy =
    "see what NCCL says with NCCL_DEBUG=INFO in the workers' environment; GPUs of different pods need a way "
    "to each "
    "other (NCCL_SOCKET_IFNAME)";

}  // namespace

void CommMachine::begin(Work work, std::size_t elements, Deadline deadline) {
  const bool makes = work == Work::kJoin || work == Work::kShrink;
  MUSTER_CHECK(state_ == (makes ? CommState::kEmpty : CommState::kReady));
  state_ = CommState::kWorking;
  phase_ = Phase::kToIssue;
  work_ = work;
  elements_ = elements;
  deadline_ = deadline;
  begun_ = {};
  outcome_.reset();
  if (work == Work::kSum) ++sums_;
}

CommMachine::Act CommMachine::next(Instant now) {
  now_ = now;
  if (begun_ == Instant{}) begun_ = now;
  if (state_ == CommState::kWorking && now >= deadline_) {
    const std::string_view where =
        phase_ == Phase::kToIssue || phase_ == Phase::kIssued ? "has not returned" : "is still in progress";
    fail(deadline_exceeded(fmt::format(
             "{}: {}: {} {} after {:.1f} s: a GPU, its driver or the network between GPUs hangs; {}",
             options_.self, words_of_work(), call_of(work_), where,
             std::chrono::duration<double>(now - begun_).count(), kRemedy)),
         now);
  }
  if (state_ == CommState::kAborting && now >= abort_deadline_) state_ = CommState::kStuck;
  if (state_ == CommState::kAborting && phase_ == Phase::kToAbort) {
    phase_ = Phase::kAborting;
    return Act::kAbort;
  }
  if (state_ != CommState::kWorking) return Act::kAwait;
  if (phase_ == Phase::kToIssue) {
    phase_ = Phase::kIssued;
    return Act::kIssue;
  }
  if (phase_ == Phase::kToPoll) {
    phase_ = Phase::kPolled;
    return Act::kPoll;
  }
  return Act::kAwait;
}

void CommMachine::issued(int result, std::string_view words) {
  if (state_ != CommState::kWorking) return;  // it was given up meanwhile
  MUSTER_CHECK(phase_ == Phase::kIssued);
  if (result != kSuccess && result != kInProgress) return fail_by(result, words, true);
  phase_ = Phase::kToPoll;
}

void CommMachine::polled(int result, bool done, std::string_view words) {
  if (state_ != CommState::kWorking) return;
  MUSTER_CHECK(phase_ == Phase::kPolled);
  if (result != kSuccess && result != kInProgress) return fail_by(result, words, false);
  if (result == kInProgress || !done) {
    phase_ = Phase::kToPoll;
    return;
  }
  state_ = work_ == Work::kFinish ? CommState::kEmpty : CommState::kReady;
  outcome_ = Status();
}

void CommMachine::abort_returned(Instant /*now*/) {
  if (state_ == CommState::kAborting) state_ = CommState::kEmpty;
}

void CommMachine::lost(const Error& why, Instant now) {
  if (state_ != CommState::kWorking) return;
  fail(why.in(fmt::format("{}: {}", options_.self, words_of_work())), now);
  if (work_ == Work::kSum && options_.can_shrink) state_ = CommState::kKept;
}

void CommMachine::release(Instant now) {
  if (state_ == CommState::kWorking) {
    fail(aborted(fmt::format("{}: {} was broken off", options_.self, words_of_work())), now);
  } else if (state_ == CommState::kReady || state_ == CommState::kKept) {
    state_ = CommState::kAborting;
    phase_ = Phase::kToAbort;
    abort_deadline_ = now + options_.abort_time;
  }
}

std::string CommMachine::words_of_work() const {
  switch (work_) {
    case Work::kJoin: return "joining the ranks' GPUs by NCCL";
    case Work::kShrink: return "going on without the lost ranks by NCCL";
    case Work::kSum: return fmt::format("sum {} of this membership, of {} values, by NCCL", sums_, elements_);
    case Work::kFinish: return "leaving NCCL";
  }
  return "";
}

void CommMachine::fail(Error why, Instant now) {
  outcome_ = Status(std::move(why));
  state_ = CommState::kAborting;
  phase_ = Phase::kToAbort;
  abort_deadline_ = now + options_.abort_time;
}

void CommMachine::fail_by(int result, std::string_view words, bool in_call) {
  const bool of_peer = result == kRemoteError;
  std::string message = fmt::format("{}: {}: {} {} {}", options_.self, words_of_work(), call_of(work_),
                                    in_call ? "returned" : "ended with", result_words(result));
  if (!words.empty()) message += fmt::format(": {}", words);
  message += of_peer ? ": NCCL of another rank failed; its own last words say why"
                     : fmt::format("; look at this pod's GPU, driver and network; {}", kRemedy);
  fail(of_peer ? unavailable(std::move(message)) : internal_error(std::move(message)), now_);
}

}  // namespace muster::worker::nccl
