#pragma once  // aggregator/shell/download_slots.h: how many downloads hold a chunk at once
#include <cstddef>
#include <deque>
#include <functional>

#include "common/platform/mutex.h"

namespace muster::agg {

// A chunk exists from its copy out of the model until it is on its way in the network, so that downloads cost
// kDownloadsAtOnce chunks, however many there are. Those that wait have their turn in the order of their
// asking; a download asks anew for each chunk. Thread-safe.
class DownloadSlots {
 public:
  // Takes the slot and returns true, or returns false: it wants none any more. Called without a lock.
  using Waiter = std::function<bool()>;
  explicit DownloadSlots(std::size_t count) : free_(count) {}

  // True: the caller has a slot, until give(). Else `waiter` is called once there is one.
  [[nodiscard]] bool take(Waiter waiter);
  void give();  // by a holder, who holds no lock that a waiter takes

 private:
  Mutex mutex_;
  std::size_t free_ MUSTER_GUARDED_BY(mutex_);
  std::deque<Waiter> waiters_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::agg
