#pragma once  // aggregator/round/events.h: what a machine of a federation is told, and what it wants done
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "aggregator/round/cohort.h"
#include "common/base/clock.h"

namespace muster::agg {

// What happened.
struct CheckedIn {
  ClientId client = 0;
};  // idle, waits for a task
struct Left {
  ClientId client = 0;
  bool returning = false;
};  // its wait ended; false: it is gone
struct Fetching {
  std::string task_id;
};  // it begins to download the model that is in place
struct Downloaded {
  std::string task_id;
};  // it has the whole model
struct Arrived {
  std::string task_id;
};  // its whole update is here, in time; it will be folded in, or refused
struct Reported {
  std::string task_id;
};  // its update was folded in
struct Returned {
  std::string task_id;
};  // its update arrived, but could not be kept: its client is to send it again
struct Refused {
  std::string task_id;
  std::string reason;
};  // its update was unusable
struct Lapsed {
  std::string task_id;
};                    // its update came after the round closed
struct Committed {};  // the model of the closed round is in place
struct Stopped {
  std::string reason;
  bool failed = false;
};               // e.g. the target is reached; the disk is full
struct Tick {};  // time has passed
using Event = std::variant<CheckedIn, Left, Fetching, Downloaded, Arrived, Reported, Returned, Refused,
                           Lapsed, Committed, Stopped, Tick>;

// What to do about it, in order.
struct BeginRound {
  std::int64_t round = 0;
  std::size_t selected = 0;
};  // the aggregate is empty
struct AssignTask {
  ClientId client = 0;
  std::int64_t round = 0;
  std::string task_id;
  Instant deadline;         // its update is of no use later
  std::int64_t serial = 0;  // of the task, where a client may have two of one round
  bool again = false;       // it was given before, and got lost
};
struct ForgetTask {
  std::string task_id;
  std::string why;
};  // its update is not waited for any more
struct CommitRound {
  std::int64_t round = 0;
  std::int64_t reported = 0;
};  // finish the aggregate, then say Committed
struct AbandonRound {
  std::int64_t round = 0;
  std::string reason;
};  // throw the aggregate away
struct Dismiss {
  ClientId client = 0;
};  // the federation is over
// Once. `refused`: the last round failed because every update was unusable, so that trying again would not
// help.
struct Ended {
  std::string reason;
  bool failed = false;
  bool refused = false;
};
using Effect = std::variant<BeginRound, AssignTask, ForgetTask, CommitRound, AbandonRound, Dismiss, Ended>;
using Effects = std::vector<Effect>;

}  // namespace muster::agg
