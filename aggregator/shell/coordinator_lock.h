#pragma once  // aggregator/shell/coordinator_lock.h: Coordinator::locked, for its source files alone
#include <type_traits>
#include <utility>

#include "aggregator/shell/coordinator.h"

namespace muster::agg {

// Answers leave and memory is freed after the lock is given back: gRPC may call into the coordinator again
// from within an answer. The timer is woken only for what comes before it would wake by itself.
template <typename Action>
auto Coordinator::locked(Action action) MUSTER_NO_THREAD_SAFETY_ANALYSIS {
  Later later;
  MutexLock lock(mutex_);
  const auto leave = [&]() MUSTER_NO_THREAD_SAFETY_ANALYSIS {
    std::swap(later, later_);
    for (auto& buffer : uploads_.dropped()) later.releases.push_back(std::move(buffer));
    const bool wake = stopping_ || !to_end_.empty() || next_due() < timer_until_;
    lock.unlock();
    if (wake) timer_wake_.notify_one();
    for (const auto& answer_call : later.answers) answer_call();
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
