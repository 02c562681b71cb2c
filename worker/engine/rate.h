#pragma once  // worker/engine/rate.h: a rate smoothed over the last seconds. Pure
#include <cmath>

#include "common/base/clock.h"

namespace muster::worker {

class Rate {
 public:
  explicit Rate(Instant start) : last_(start) {}

  void add(double amount, Instant now) {
    const double seconds = std::chrono::duration<double>(now - last_).count();
    const double decay = std::exp(-seconds / kSmoothingSeconds);
    amount_ = amount_ * decay + amount;
    seconds_ = seconds_ * decay + seconds;
    last_ = now;
  }
  [[nodiscard]] double per_second() const { return seconds_ > 0 ? amount_ / seconds_ : 0; }

 private:
  static constexpr double kSmoothingSeconds = 5;
  Instant last_;
  double amount_ = 0;
  double seconds_ = 0;
};

}  // namespace muster::worker
