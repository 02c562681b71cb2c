#pragma once  // aggregator/shell/coordinator_lock.h: Coordinator::locked, for its two source files alone
#include <type_traits>
#include <utility>

#include "aggregator/shell/coordinator.h"

namespace muster::agg {

// Answers leave after the lock is given back: gRPC may call into the coordinator again from within them.
// The timer is woken only for what comes before it would wake by itself.
template <typename Action>
auto Coordinator::locked(Action action) {
  Outbox out;
  std::unique_lock lock(mutex_);
  const auto leave = [&] {
    out.swap(outbox_);
    const bool wake = stopping_ || next_due() < timer_until_;
    lock.unlock();
    if (wake) timer_wake_.notify_one();
    for (auto& [answer_call, reply] : out) answer_call(std::move(reply));
  };
  if constexpr (std::is_void_v<decltype(action())>) {
    action();
    leave();
  } else {
    auto result = action();
    leave();
    return result;
  }
}

}  // namespace muster::agg
