#pragma once  // tests/sim/planted.h: bugs that the simulation must find, put in where the operator meets the
              // world
#include <cstdint>

#include "kube/http_transport.h"
#include "operator/shell/controller.h"

namespace muster::sim {

enum class Planted {
  kNone,
  kStaleStatusWins,        // the status is written without the version that was read
  kRetryUnderAnotherName,  // a create whose answer is lost is tried again under another name
  kRestartNotCounted,      //
  kRestartCountedTwice,    //
  kDisruptionCounted,      // an eviction counts as a restart
  kLimitIgnored,           // restarts go on past maxRestarts
  kTerminalForgotten,      // a finished object is begun anew
  kDeletionIgnored,        // pods are made for an object that is being deleted
  kReadyCountsAll,         // pods that exist count as ready
  kExpiryIgnored,          // a watch whose history was compacted goes on as if nothing was lost
  kRequeueForgotten,       // nobody looks again unless something happens
  kDeletesWithoutUid,      // a delete may meet a pod that was made anew
  kStatusEveryPass,        // a pass that has nothing to say writes
  kWritesWithoutLease,     // passes go on writing until the term has ended
  kCachesNotAwaited,       // a new leader works with whatever its caches have
  kLeaseTakenEarly,        // the Lease of another counts as run out too soon
  kMembershipReused,       // another roster gets the number of the one before
  kJoinersFirst,           // ranks are given to those first who have no state
  kSurvivorsReplaced,      // all workers are replaced when one is lost
  kPartsLostIgnored,       // two servers beside each other are replaced alone, as one would be
  kMax
};
[[nodiscard]] const char* name_of(Planted bug);
// A seed that has found it; whatever changes in the simulation may make it another.
[[nodiscard]] std::uint64_t finding_seed(Planted bug);

[[nodiscard]] op::Controller::Decide planted_decide(Planted bug, op::Controller::Decide decide);
[[nodiscard]] std::shared_ptr<kube::HttpTransport> planted_transport(
    Planted bug, std::shared_ptr<kube::HttpTransport> real);

}  // namespace muster::sim
