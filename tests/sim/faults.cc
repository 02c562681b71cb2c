// tests/sim/faults.cc: the draw of a life's faults
#include "faults.h"

namespace muster::sim {
namespace {

struct Kind {
  const char* name;
  double rate;  // at its most: of requests, deliveries, or seconds, whatever asks
};

constexpr std::array<Kind, static_cast<std::size_t>(Fault::kMax)> kFaultKinds{{
    {"connection refused", 0.1},
    {"429 with Retry-After", 0.1},
    {"500", 0.1},
    {"timeout after commit", 0.05},
    {"connection lost after commit", 0.1},
    {"late delivery", 0.05},
    {"slow answer", 0.1},
    {"watch delayed", 0.1},
    {"watch cut", 0.05},
    {"watch cut within an event", 0.05},
    {"history compacted", 0.03},
    {"stale list", 0.5},
    {"API server down", 0.02},
    {"operator crash", 0.03},
    {"operator crash at a write", 0.05},
    {"operator paused", 0.03},
    {"operator frozen at a write", 0.1},
    {"operator cut off", 0.03},
    {"operator stopped", 0.03},
    {"clock skew", 0.5},
    {"slow pod", 0.2},
    {"pod crash", 0.1},
    {"pod ends for good", 0.01},
    {"eviction", 0.05},
    {"pod deleted by hand", 0.05},
    {"pod vanishes", 0.03},
    {"node lost", 0.03},
    {"node gone", 1.0},
    {"node broken", 0.03},
    {"agent silent", 0.05},
    {"quota exceeded", 0.03},
    {"right withdrawn", 0.03},
}};

constexpr std::uint64_t kOneIn = 3;  // of the kinds

}  // namespace

const char* name_of(Fault fault) { return kFaultKinds[static_cast<std::size_t>(fault)].name; }

std::uint64_t Tally::of(const std::string& what) const {
  const auto found = counts_.find(what);
  return found == counts_.end() ? 0 : found->second;
}

Faults::Faults(std::uint64_t seed, Tally& tally) : random_(seed), tally_(tally) {
  for (std::size_t i = 0; i < rates_.size(); ++i)
    rates_[i] = random_.below(kOneIn) == 0 ? kFaultKinds[i].rate * random_.uniform() : 0;
}

bool Faults::strikes(Fault fault) {
  if (!on_ || rate(fault) == 0 || random_.uniform() >= rate(fault)) return false;
  tally_.count(name_of(fault));
  return true;
}

}  // namespace muster::sim
