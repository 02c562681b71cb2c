#pragma once  // aggregator/shell/coordinator_lock.h: Coordinator::locked, for its two source files alone
#include <type_traits>
#include <utility>

#include "aggregator/shell/coordinator.h"

namespace muster::agg {

// Answers leave after the lock is given back: gRPC may call into the coordinator again from within them.
template <typename Action>
auto Coordinator::locked(Action action) {
  Outbox out;
  const auto send = [&out] {
    for (auto& [answer_call, reply] : out) answer_call(std::move(reply));
  };
  std::unique_lock lock(mutex_);
  if constexpr (std::is_void_v<decltype(action())>) {
    action();
    out.swap(outbox_);
    lock.unlock();
    timer_wake_.notify_one();
    send();
  } else {
    auto result = action();
    out.swap(outbox_);
    lock.unlock();
    timer_wake_.notify_one();
    send();
    return result;
  }
}

}  // namespace muster::agg
