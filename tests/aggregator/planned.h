#pragma once  // tests/aggregator/planned.h: what will happen in a simulated federation
#include <cstdint>
#include <tuple>

#include "aggregator/round/events.h"
#include "common/base/clock.h"

namespace muster::agg {

struct Planned {  // for a std::priority_queue: the earliest on top
  Instant at;
  std::uint64_t order = 0;
  Event event;
  bool operator<(const Planned& other) const { return std::tie(at, order) > std::tie(other.at, other.order); }
};

}  // namespace muster::agg
