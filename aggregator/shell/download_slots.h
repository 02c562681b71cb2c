#pragma once  // aggregator/shell/download_slots.h: how many downloads hold a chunk at once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>

#include "common/platform/mutex.h"

namespace muster::agg {

// A chunk exists from its copy out of the model until it is on its way in the network, so that downloads cost
// kDownloadsAtOnce chunks, however many there are; a download asks anew for each chunk. Pods take turns,
// those of one pod wait in the order of their asking. A reader that stands still keeps its slot for seconds,
// so one pod never holds them all: a share as large as its own is left for the next pod that comes.
// Thread-safe.
class DownloadSlots {
 public:
  // Takes the slot and returns true, or returns false: it wants none any more. Called without a lock.
  using Waiter = std::function<bool()>;
  explicit DownloadSlots(std::size_t count) : count_(count), free_(count) {}

  // True: `call`, of this pod, has a slot, until give(). Else `waiter` is called once there is one.
  [[nodiscard]] bool take(std::int64_t pod, const void* call, Waiter waiter);
  void give(std::int64_t pod);  // by a holder, who holds no lock that a waiter takes
  // The call is over. Without it a pod that may have no more slots could fill its queue with calls that end.
  void forget(std::int64_t pod, const void* call);

 private:
  struct Waiting {
    const void* call;
    Waiter waiter;
  };
  struct Pod {
    std::size_t held = 0;
    std::deque<Waiting> waiting;
  };
  struct Turn {
    std::int64_t pod;
    Waiter waiter;
  };
  [[nodiscard]] std::size_t most_of_a_pod() const MUSTER_REQUIRES(mutex_);
  void put_back(std::int64_t pod) MUSTER_REQUIRES(mutex_);
  // Takes the slot for it; nullopt: nobody waits who may have one.
  [[nodiscard]] std::optional<Turn> next_turn() MUSTER_REQUIRES(mutex_);

  const std::size_t count_;
  Mutex mutex_;
  std::size_t free_ MUSTER_GUARDED_BY(mutex_);
  std::map<std::int64_t, Pod> pods_ MUSTER_GUARDED_BY(mutex_);  // that hold a slot or wait
  std::int64_t last_ MUSTER_GUARDED_BY(mutex_) = -1;            // the pod whose turn was the last
};

}  // namespace muster::agg
