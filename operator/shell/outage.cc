// operator/shell/outage.cc: pauses that grow while nobody answers
#include "operator/shell/outage.h"

#include <algorithm>

namespace muster::op {

std::chrono::milliseconds Outage::wait(Instant now) {
  const MutexLock lock(mutex_);
  if (pause_.count() == 0) return {};
  if (now < asks_at_) return std::chrono::ceil<std::chrono::milliseconds>(asks_at_ - now);
  asks_at_ = now + pause_;
  return {};
}

std::chrono::milliseconds Outage::pause(Instant now) {
  const MutexLock lock(mutex_);
  if (pause_.count() == 0 || now >= asks_at_) return {};
  return std::chrono::ceil<std::chrono::milliseconds>(asks_at_ - now);
}

bool Outage::failed(Instant now) {
  const MutexLock lock(mutex_);
  const bool first = pause_.count() == 0;
  if (!first && now < counted_at_ + kPauseMin) return false;  // of several that were on their way one counts
  counted_at_ = now;
  pause_ = std::clamp(pause_ * 2, kPauseMin, kPauseMax);
  asks_at_ = now + pause_;
  return first;
}

bool Outage::answered() {
  const MutexLock lock(mutex_);
  const bool was_away = pause_.count() != 0;
  pause_ = {};
  return was_away;
}

}  // namespace muster::op
