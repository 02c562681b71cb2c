#pragma once  // worker/engine/patience.h: how long a step may wait for other ranks before one of them counts
              // as hung
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>

namespace muster::worker {

// Pure. Learnt from the steps before, so that a rank whose training thread stands still in a living process
// is missed after seconds, not after the longest time that any training may need.
class Patience {
 public:
  using Duration = std::chrono::duration<double>;
  static constexpr std::size_t kSteps = 64;       // the last ones, which it goes by
  static constexpr std::size_t kLeastSteps = 16;  // before: no less than the most
  static constexpr double kTimes = 10;

  // `least`: of a step that takes no time; both > 0.
  Patience(Duration least, Duration most) : least_(std::min(least, most)), most_(most) {}

  // A whole step, with its waits: one slow rank makes all patient.
  void took(Duration step) { steps_[seen_++ % kSteps] = step; }
  [[nodiscard]] Duration limit() const {
    if (seen_ < kLeastSteps) return most_;
    return std::clamp(kTimes * *std::ranges::max_element(steps_), least_, most_);
  }

 private:
  Duration least_;
  Duration most_;
  std::array<Duration, kSteps> steps_{};
  std::size_t seen_ = 0;
};

}  // namespace muster::worker
