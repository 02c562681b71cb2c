#pragma once  // device/partial_work.h: until when a client trains that sends what it has come to. Pure
#include <cstddef>
#include <optional>

#include "common/base/clock.h"

namespace muster::device {

// Where others of the pod wait for a slot to train for the same round, one that has it takes its part of the
// time alone: with `queued` waiting for `slots`, each thread has 1 + queued / slots trainings before it.
[[nodiscard]] inline Instant share_of_time(Instant now, Instant stop_at, std::size_t queued,
                                           std::size_t slots) {
  if (stop_at <= now) return stop_at;
  return now + (stop_at - now) * static_cast<Instant::rep>(slots) / static_cast<Instant::rep>(slots + queued);
}

// Says when to stop so that the step that would come next does not end after `until`. Asked between steps; a
// step takes what passed since it was asked last, so that what was before the first step is not one.
class StopWatch {
 public:
  explicit StopWatch(Instant until) : until_(until) {}
  [[nodiscard]] bool enough(Instant now) {
    const Instant::duration step = asked_ ? now - *asked_ : Instant::duration(0);
    asked_ = now;
    return now + step >= until_;
  }

 private:
  Instant until_;
  std::optional<Instant> asked_;
};

}  // namespace muster::device
