#pragma once  // local/api/timer_queue.h: runs small functions at their time, on one thread of its own
#include <functional>
#include <map>
#include <thread>

#include "common/base/clock.h"
#include "common/platform/mutex.h"

namespace muster::local {

class TimerQueue {  // thread-safe
 public:
  TimerQueue();
  ~TimerQueue();  // forgets what has not run
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;
  // `run` must be quick and must not throw.
  void at(Instant when, std::function<void()> run);

 private:
  void loop();

  Mutex mutex_;
  Condition changed_;
  std::multimap<Instant, std::function<void()>> due_ MUSTER_GUARDED_BY(mutex_);
  bool stopping_ MUSTER_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace muster::local
