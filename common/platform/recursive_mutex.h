#pragma once  // common/platform/recursive_mutex.h: a mutex that its holder may take again, as clang's thread
              // safety analysis knows it
#include <mutex>

#include "common/base/thread_annotations.h"

// Of a function that gives out a reference to the lock.
#define MUSTER_RETURNS_MUTEX(mutex) MUSTER_THREAD_ANNOTATION(lock_returned(mutex))

namespace muster {

// For code that a library may call back from inside a call: else a Mutex does, and is easier to reason about.
class MUSTER_CAPABILITY("mutex") RecursiveMutex {
 public:
  void lock() MUSTER_ACQUIRE() { mutex_.lock(); }
  void unlock() MUSTER_RELEASE() { mutex_.unlock(); }

 private:
  std::recursive_mutex mutex_;
};

class MUSTER_SCOPED_CAPABILITY RecursiveMutexLock {  // for a scope
 public:
  explicit RecursiveMutexLock(RecursiveMutex& mutex) MUSTER_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~RecursiveMutexLock() MUSTER_RELEASE() { mutex_.unlock(); }
  RecursiveMutexLock(const RecursiveMutexLock&) = delete;
  RecursiveMutexLock& operator=(const RecursiveMutexLock&) = delete;

 private:
  RecursiveMutex& mutex_;
};

}  // namespace muster
