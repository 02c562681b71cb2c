#pragma once  // worker/nccl/comm_machine.h: what is to be done next with one communicator; decides, makes no
              // call
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace muster::worker::nccl {

enum class Work { kJoin, kShrink, kSum, kFinish };

// A communicator's life. Each arrow is a step of the machine:
//
//            kJoin, kShrink                  kSum
//   Empty ------------------> Working <---------------- Ready ----- kFinish --> Working ----> Empty
//                              |  |  |                    ^
//        returned, and polled  |  |  +--- done -----------+
//        with an error, or the |  |
//        deadline is over      |  +-- a rank is lost in a sum, and NCCL can shrink --> Kept
//                              v                                                        |
//   Empty <-- returned -- Aborting <------------------ release -------------------------+
//                              |
//                              +-- the abort does not return in time --> Stuck (for ever: the process must
//                              end)
//
// The work's call is made once and may not return; what it began is polled until it is done. An error is told
// at once, while the abort goes on beside.
enum class CommState { kEmpty, kWorking, kReady, kKept, kAborting, kStuck };

class CommMachine {
 public:
  struct Options {
    std::string self;                             // "rank 1": of whom errors speak
    bool can_shrink = false;                      // a broken communicator may be the parent of the next one
    std::chrono::milliseconds abort_time{5'000};  // in which an abort returns
  };
  explicit CommMachine(Options options) : options_(std::move(options)) {}

  // REQUIRES: kEmpty for kJoin and kShrink (the parent is another machine's), kReady for the others.
  // `elements`: of a sum, for its errors.
  void begin(Work work, std::size_t elements, Deadline deadline);

  // What the shell does next. kIssue, kPoll and kAbort are handed out once each: their result is to come.
  enum class Act { kIssue, kPoll, kAbort, kAwait };
  [[nodiscard]] Act next(Instant now);

  // What the work's call returned, an ncclResult_t, with NCCL's words of its last error. A call of the CUDA
  // runtime that failed is kUnhandledCudaError.
  void issued(int result, std::string_view words);
  // Of a poll: the communicator's own state, and whether what was begun on the stream is done.
  void polled(int result, bool done, std::string_view words);
  void abort_returned(Instant now);
  // By the mesh: a rank is lost, or the job is broken off. No effect unless it works.
  void lost(const Error& why, Instant now);
  // The communicator is not wanted any more: it is aborted. No effect where there is none.
  void release(Instant now);

  [[nodiscard]] CommState state() const { return state_; }
  // Of the work begun; nullopt: it is under way. Codes: kDeadlineExceeded, kUnavailable (a peer's NCCL
  // failed), that of lost(), kInternal: this rank's own NCCL, GPU or driver failed, so that it should not go
  // on in this process.
  [[nodiscard]] const std::optional<Status>& outcome() const { return outcome_; }
  [[nodiscard]] std::int64_t sums() const { return sums_; }  // begun

 private:
  enum class Phase { kToIssue, kIssued, kToPoll, kPolled, kToAbort, kAborting };
  [[nodiscard]] std::string words_of_work() const;
  void fail(Error why, Instant now);
  void fail_by(int result, std::string_view words, bool in_call);

  Options options_;
  CommState state_ = CommState::kEmpty;
  Phase phase_ = Phase::kToIssue;
  Work work_ = Work::kJoin;
  std::size_t elements_ = 0;
  Instant begun_{};
  Instant now_{};  // of the last next()
  Deadline deadline_{};
  Deadline abort_deadline_{};
  std::int64_t sums_ = 0;
  std::optional<Status> outcome_;
};

}  // namespace muster::worker::nccl
