// aggregator/shell/download_slots.cc: a semaphore whose waiters are callbacks
#include "aggregator/shell/download_slots.h"

#include <utility>

namespace muster::agg {

bool DownloadSlots::take(Waiter waiter) {
  const MutexLock lock(mutex_);
  if (free_ == 0) {
    waiters_.push_back(std::move(waiter));
    return false;
  }
  --free_;
  return true;
}

void DownloadSlots::give() {
  while (true) {
    Waiter next;
    {
      const MutexLock lock(mutex_);
      if (waiters_.empty()) {
        ++free_;
        return;
      }
      next = std::move(waiters_.front());
      waiters_.pop_front();
    }
    if (next()) return;
  }
}

}  // namespace muster::agg
