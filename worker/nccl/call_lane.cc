// worker/nccl/call_lane.cc: handing a call over, and leaving it behind
#include "worker/nccl/call_lane.h"

#include <utility>

#include "common/base/check.h"
#include "common/platform/mutex.h"

namespace muster::worker::nccl {

struct CallLane::Shared {
  Mutex mutex;
  Condition changed;
  std::function<void()> call MUSTER_GUARDED_BY(mutex);
  bool busy MUSTER_GUARDED_BY(mutex) = false;  // a call is handed over and has not returned
  bool over MUSTER_GUARDED_BY(mutex) = false;
};

CallLane::CallLane() : shared_(std::make_shared<Shared>()), thread_([shared = shared_] { run(shared); }) {}

CallLane::~CallLane() {
  const bool returned = await(kEndTime);
  {
    const MutexLock lock(shared_->mutex);
    shared_->over = true;
  }
  shared_->changed.notify_all();
  if (returned) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void CallLane::start(std::function<void()> call) {
  const MutexLock lock(shared_->mutex);
  MUSTER_CHECK(!shared_->busy);
  shared_->call = std::move(call);
  shared_->busy = true;
  shared_->changed.notify_all();
}

bool CallLane::idle() const {
  const MutexLock lock(shared_->mutex);
  return !shared_->busy;
}

bool CallLane::await(std::chrono::milliseconds limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  MutexLock lock(shared_->mutex);
  while (shared_->busy) {
    if (std::chrono::steady_clock::now() >= until) return false;
    shared_->changed.wait_until(lock, until);
  }
  return true;
}

void CallLane::run(const std::shared_ptr<Shared>& shared) {
  while (true) {
    std::function<void()> call;
    {
      MutexLock lock(shared->mutex);
      while (!shared->busy && !shared->over) shared->changed.wait(lock);
      if (!shared->busy) return;
      call = std::exchange(shared->call, {});
    }
    call();
    call = {};  // what it owns goes before anybody is told that it is over
    const MutexLock lock(shared->mutex);
    shared->busy = false;
    shared->changed.notify_all();
  }
}

}  // namespace muster::worker::nccl
