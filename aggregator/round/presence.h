#pragma once  // aggregator/round/presence.h: which clients of a federation are here
#include <array>
#include <cstdint>
#include <vector>

#include "aggregator/round/cohort.h"
#include "common/base/check.h"

namespace muster::agg {

enum class Presence { kUnknown, kIdle, kWorking, kReturning, kAway };

// Memory: a byte or so a client. Counting costs nothing: every call asks for it.
class Presences {
 public:
  explicit Presences(std::int64_t clients)
      : of_(static_cast<std::size_t>(clients), Presence::kUnknown), counts_{clients} {}

  [[nodiscard]] Presence of(ClientId client) const { return of_[static_cast<std::size_t>(client)]; }
  [[nodiscard]] std::int64_t count(Presence of) const { return counts_[static_cast<std::size_t>(of)]; }
  [[nodiscard]] std::int64_t clients() const { return static_cast<std::int64_t>(of_.size()); }
  // Thought to be here: idle, at work or about to come back.
  [[nodiscard]] std::int64_t connected() const {
    return count(Presence::kIdle) + count(Presence::kWorking) + count(Presence::kReturning);
  }
  void set(ClientId client, Presence to) {
    Presence& where = of_[static_cast<std::size_t>(client)];
    MUSTER_CHECK(count(where) > 0);
    --counts_[static_cast<std::size_t>(where)];
    ++counts_[static_cast<std::size_t>(to)];
    where = to;
  }

 private:
  std::vector<Presence> of_;
  std::array<std::int64_t, 5> counts_;  // by presence
};

}  // namespace muster::agg
