#pragma once  // operator/shell/lanes.h: a few threads on which the writes of all passes go out side by side
#include <algorithm>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "common/base/result.h"
#include "common/platform/mutex.h"

namespace muster::op {

class Lanes {  // thread-safe
 public:
  explicit Lanes(int threads);
  ~Lanes();

  // Calls work(0) to work(count - 1), some of them at once: on the caller's thread and on those of the lanes
  // that are free. Returns when all have ended; rethrows the first exception of one.
  void run(std::size_t count, const std::function<void(std::size_t)>& work) MUSTER_EXCLUDES(mutex_);

 private:
  struct Batch {
    const std::function<void(std::size_t)>& work;
    std::size_t count;
    std::size_t next = 0;  // the first that nobody has begun
    std::size_t ended = 0;
    std::exception_ptr error{};
  };
  void serve(const std::stop_token& stop) MUSTER_EXCLUDES(mutex_);
  // One piece of `batch`, which has one that nobody has begun; the mutex is free while it is worked on.
  void advance(Batch& batch) MUSTER_REQUIRES(mutex_);

  Mutex mutex_;
  Condition changed_;
  std::deque<std::shared_ptr<Batch>> waiting_ MUSTER_GUARDED_BY(mutex_);  // with pieces that nobody has begun
  std::vector<std::jthread> threads_;
};

// Gives `work` a few of `items`, then twice as many, and so on, as long as it goes well: a refusal is not met
// a thousand times.
template <typename Item, typename Work>
[[nodiscard]] Status in_growing_batches(std::span<Item> items, const Work& work) {
  constexpr std::size_t kFirst = 4;
  for (std::size_t at_once = kFirst; !items.empty(); at_once *= 2) {
    const std::size_t count = std::min(at_once, items.size());
    MUSTER_TRY(work(items.first(count)));
    items = items.subspan(count);
  }
  return {};
}

}  // namespace muster::op
