#pragma once  // common/base/clock.h: monotonic instants; pure code takes `now`, shells ask a Clock
#include <chrono>

namespace muster {

using Instant = std::chrono::steady_clock::time_point;   // monotonic; for deadlines and intervals
using Deadline = Instant;                                // an operation must have ended by then
using WallTime = std::chrono::system_clock::time_point;  // for timestamps that people and Kubernetes read

class Clock {  // thread-safe
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Instant now() const = 0;
  [[nodiscard]] virtual WallTime wall() const = 0;
};

[[nodiscard]] inline Deadline deadline_after(std::chrono::milliseconds span) {
  return std::chrono::steady_clock::now() + span;
}

}  // namespace muster
