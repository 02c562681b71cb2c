#pragma once  // aggregator/shell/call_timer.h: cancels a server call that takes too long
#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>

#include <chrono>
#include <memory>
#include <mutex>

namespace muster::agg {

// Belongs to one reactor: start() when the call begins, stop() in its OnDone, after which the context is
// gone.
class CallTimer {
 public:
  void start(grpc::CallbackServerContext* context, std::chrono::milliseconds timeout) {
    state_->context = context;
    // The alarm's callback holds the state, so it may come after the reactor is gone. The alarm holds the
    // callback, so the state must not hold the alarm.
    alarm_.Set(std::chrono::system_clock::now() + timeout, [state = state_](bool expired) {
      const std::scoped_lock lock(state->mutex);
      if (expired && state->context != nullptr) state->context->TryCancel();
    });
  }
  void stop() {
    {
      const std::scoped_lock lock(state_->mutex);
      state_->context = nullptr;
    }
    alarm_.Cancel();
  }

 private:
  struct State {
    std::recursive_mutex mutex;  // gRPC may run OnDone, and so stop(), inside TryCancel
    grpc::CallbackServerContext* context = nullptr;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
  grpc::Alarm alarm_;
};

}  // namespace muster::agg
