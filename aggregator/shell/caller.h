#pragma once  // aggregator/shell/caller.h: who makes a call, and for which clients it may speak
#include <cstdint>

#include "aggregator/round/cohort.h"

namespace muster::agg {

// A client pod of this federation, as its certificate says; never as a message says.
struct Caller {
  std::int64_t pod = 0;  // its index
};

// Client c is played by pod c / perPod (spec.clients.perPod), whoever it says to be.
[[nodiscard]] inline bool speaks_for(const Caller& caller, ClientId client, std::int64_t clients_per_pod) {
  return client >= 0 && client / clients_per_pod == caller.pod;
}

}  // namespace muster::agg
