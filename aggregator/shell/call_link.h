#pragma once  // aggregator/shell/call_link.h: what the coordinator and a timer hold of a server call
#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "aggregator/shell/transfer.h"
#include "common/platform/recursive_mutex.h"

namespace muster::agg {

// Outlives its reactor, which gRPC deletes when it likes. Its mutex guards what the reactor shares with
// end(). Order of locks: this one, then the coordinator's; never two links'.
class CallLink final : public Transfer, public std::enable_shared_from_this<CallLink> {
 public:
  CallLink(grpc::CallbackServerContext* context, std::function<void(const Error&)> on_end)
      : context_(context), on_end_(std::move(on_end)) {}

  // Runs the reactor's part under the mutex, unless the reactor has gone.
  void end(const Error& why) override {
    const RecursiveMutexLock lock(mutex_);
    if (context_ != nullptr) on_end_(why);
  }
  // Cancels the call unless it has ended by then. Replaces the limit before.
  void cancel_after(std::chrono::milliseconds timeout) {
    const RecursiveMutexLock lock(mutex_);
    if (context_ == nullptr) return;
    // The alarm holds the callback and so this link; detach breaks the ring.
    alarm_ = std::make_unique<grpc::Alarm>();
    alarm_->Set(std::chrono::system_clock::now() + timeout,
                [self = shared_from_this(), limit = ++limit_](bool expired) {
                  const RecursiveMutexLock guard(self->mutex_);
                  if (expired && limit == self->limit_ && self->context_ != nullptr)
                    self->context_->TryCancel();
                });
  }
  // From the reactor's OnDone: from here on nobody reaches it.
  void detach() {
    const RecursiveMutexLock lock(mutex_);
    context_ = nullptr;
    alarm_.reset();
  }
  [[nodiscard]] bool detached() const MUSTER_REQUIRES(mutex_) { return context_ == nullptr; }
  [[nodiscard]] RecursiveMutex& mutex() MUSTER_RETURNS_MUTEX(mutex_) { return mutex_; }

 private:
  RecursiveMutex mutex_;  // gRPC may run OnDone inside TryCancel or Finish
  grpc::CallbackServerContext* context_ MUSTER_GUARDED_BY(mutex_);
  const std::function<void(const Error&)> on_end_;
  std::unique_ptr<grpc::Alarm> alarm_ MUSTER_GUARDED_BY(mutex_);
  int limit_ MUSTER_GUARDED_BY(mutex_) = 0;
};

}  // namespace muster::agg
