// aggregator/shell/turns.cc: a queue of callbacks, and a thread that looks at the pace while some wait
#include "aggregator/shell/turns.h"

#include <chrono>
#include <utility>

namespace muster::agg {

using std::chrono::steady_clock;

Turns::Turns(const Options& options)
    : waiting_max_(options.waiting_max),
      limit_(options.limit),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

Turn Turns::take(std::uint64_t bytes, Waiter waiter) {
  const std::uint64_t weight = TurnLimit::weight_of(bytes);
  const MutexLock lock(mutex_);
  if (waiting_.empty() && limit_.admits(weight)) {
    limit_.began(weight);
    return Turn::kNow;
  }
  if (waiting_.size() >= waiting_max_) return Turn::kNever;
  waiting_.push_back({.weight = weight, .waiter = std::move(waiter)});
  if (waiting_.size() == 1) wake_.notify_all();
  return Turn::kLater;
}

void Turns::give(std::uint64_t bytes) {
  {
    const MutexLock lock(mutex_);
    limit_.ended(TurnLimit::weight_of(bytes));
  }
  let_in();
}

void Turns::moved(std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  limit_.moved(bytes);
}

// By one at a time: a waiter that is through at once gives its turn from within.
void Turns::let_in() {
  for (auto next = next_in(true); next; next = next_in(false)) {
    if (next->waiter()) continue;
    const MutexLock lock(mutex_);
    limit_.ended(next->weight);
  }
}

std::optional<Turns::Waiting> Turns::next_in(bool first) {
  const MutexLock lock(mutex_);
  if (first && letting_in_) return std::nullopt;  // who does so looks again
  letting_in_ = !waiting_.empty() && limit_.admits(waiting_.front().weight);
  if (waiting_.empty()) limit_.rest();
  if (!letting_in_) return std::nullopt;
  Waiting next = std::move(waiting_.front());
  waiting_.pop_front();
  limit_.began(next.weight);
  return next;
}

void Turns::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      MutexLock lock(mutex_);
      wake_.wait(lock, stop, [this]() MUSTER_REQUIRES(mutex_) { return !waiting_.empty(); });
      limit_.look(steady_clock::now());
      wake_.wait_for(lock, stop, limit_.options().interval, [] { return false; });
      limit_.look(steady_clock::now());
    }
    let_in();
  }
}

}  // namespace muster::agg
