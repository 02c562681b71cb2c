// local/api/timer_queue.cc: a sorted map and a thread that sleeps until its first entry
#include "local/api/timer_queue.h"

namespace muster::local {

TimerQueue::TimerQueue() : thread_([this] { loop(); }) {}

TimerQueue::~TimerQueue() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void TimerQueue::at(Instant when, std::function<void()> run) {
  {
    const MutexLock lock(mutex_);
    due_.emplace(when, std::move(run));
  }
  changed_.notify_all();
}

void TimerQueue::loop() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (due_.empty()) {
      changed_.wait(lock);
    } else if (const Instant first = due_.begin()->first; std::chrono::steady_clock::now() < first) {
      changed_.wait_until(lock, first);
    } else {
      auto run = std::move(due_.begin()->second);
      due_.erase(due_.begin());
      lock.unlock();
      run();
      run = nullptr;
      lock.lock();
    }
  }
}

}  // namespace muster::local
