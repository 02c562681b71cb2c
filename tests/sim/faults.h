#pragma once  // tests/sim/faults.h: which faults strike a life, how often, and how often each kind was seen
              // in all lives
#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "common/base/random.h"

namespace muster::sim {

enum class Fault {
  kConnectionRefused,      // the request never arrives
  kTooManyRequests,        // 429 with Retry-After
  kServerError,            // 500, 503 or 504, nothing done
  kTimeoutAfterCommit,     // done, but no answer comes
  kLostAfterCommit,        // done, and the connection breaks
  kLateDelivery,           // the client has given up when the request arrives
  kSlowAnswer,             //
  kWatchDelayed,           // one kind's events stop for a while: caches are stale, kinds are out of order
  kWatchCut,               // between events
  kWatchCutInEvent,        // at any byte
  kWatchExpired,           // 410: the history was compacted
  kStaleList,              // a list that is as old as it may be
  kServerDown,             //
  kOperatorCrash,          // at any instant
  kOperatorCrashAtWrite,   // between a write and its answer
  kOperatorPaused,         // as SIGSTOP
  kOperatorFrozenAtWrite,  // as SIGSTOP, between the decision to write and the system call
  kOperatorCutOff,         // one replica from the API server
  kOperatorStopped,        // as SIGTERM: a graceful handover
  kClockSkew,              //
  kSlowPod,                // scheduling or starting takes its time
  kPodCrash,               //
  kPodRefusesForGood,      // exit code 65
  kEviction,               //
  kPodDeleted,             // by hand
  kPodVanishes,            // deleted by force
  kNodeLost,               //
  kNodeGone,               //
  kNodeBroken,             // node-problem-detector says so, for a while
  kAgentSilent,            // calls to it fail for a while
  kQuota,                  // 403 on creates for a while
  kRightWithdrawn,         // 403 on one verb of one resource for a while
  kMax
};
[[nodiscard]] const char* name_of(Fault fault);

class Tally {  // of everything that must not go untested
 public:
  void count(const std::string& what, std::uint64_t times = 1) { counts_[what] += times; }
  [[nodiscard]] std::uint64_t of(const std::string& what) const;
  [[nodiscard]] const std::map<std::string, std::uint64_t>& counts() const { return counts_; }

 private:
  std::map<std::string, std::uint64_t> counts_;
};

// A life has a few kinds of faults, each more or less often: many at once hide each other.
class Faults {
 public:
  Faults(std::uint64_t seed, Tally& tally);

  void stop() { on_ = false; }
  [[nodiscard]] bool on() const { return on_; }
  // Whether it strikes now; counted if so.
  [[nodiscard]] bool strikes(Fault fault);
  void seen(const std::string& what) { tally_.count(what); }

 private:
  [[nodiscard]] double rate(Fault fault) const { return rates_[static_cast<std::size_t>(fault)]; }

  Random random_;
  Tally& tally_;
  bool on_ = true;
  std::array<double, static_cast<std::size_t>(Fault::kMax)> rates_{};
};

}  // namespace muster::sim
