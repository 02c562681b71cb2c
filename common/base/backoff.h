#pragma once  // common/base/backoff.h: exponential backoff with jitter, as a value
#include <algorithm>
#include <chrono>
#include <cstdint>

#include "common/base/random.h"

namespace muster {

struct BackoffOptions {
  std::chrono::milliseconds first{800};
  std::chrono::milliseconds max{30'000};
  double factor = 2.0;
  double jitter = 1.0;  // a delay d becomes d .. d * (1 + jitter)
};                      // defaults: client-go's reflector

class Backoff {
 public:
  Backoff(BackoffOptions options, std::uint64_t seed) : options_(options), random_(seed) { reset(); }

  [[nodiscard]] std::chrono::milliseconds next() {
    const double jittered = delay_ms_ * (1.0 + options_.jitter * random_.uniform());
    delay_ms_ = std::min(delay_ms_ * options_.factor, static_cast<double>(options_.max.count()));
    return std::chrono::milliseconds(static_cast<std::int64_t>(jittered));
  }
  void reset() { delay_ms_ = static_cast<double>(options_.first.count()); }

 private:
  BackoffOptions options_;
  Random random_;
  double delay_ms_ = 0;
};

}  // namespace muster
