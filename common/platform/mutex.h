#pragma once  // common/platform/mutex.h: std::mutex and its lock as clang's thread safety analysis knows them
#include <condition_variable>
#include <mutex>

#include "common/base/thread_annotations.h"

namespace muster {

class MUSTER_CAPABILITY("mutex") Mutex {
 public:
  void lock() MUSTER_ACQUIRE() { mutex_.lock(); }
  void unlock() MUSTER_RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Holds a Mutex for a scope, less the spans between unlock() and lock().
class MUSTER_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) MUSTER_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() MUSTER_RELEASE() {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  void lock() MUSTER_ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }
  void unlock() MUSTER_RELEASE() {
    held_ = false;
    mutex_.unlock();
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

// Waits on a MutexLock. A predicate that reads guarded fields is written [this]() MUSTER_REQUIRES(mutex_) {
// ... }.
using Condition = std::condition_variable_any;

}  // namespace muster
