#pragma once  // aggregator/shell/turns.h: whose transfer moves, and who waits for it
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <thread>

#include "aggregator/shell/turn_limit.h"
#include "common/platform/mutex.h"

namespace muster::agg {

enum class Turn { kNow, kLater, kNever };

// In the order of their asking; TurnLimit says how many at once. Thread-safe.
class Turns {
 public:
  // Takes the turn and returns true, or returns false: it wants none any more. Called without a lock.
  using Waiter = std::function<bool()>;
  struct Options {
    TurnLimit::Options limit{};
    std::size_t waiting_max = ~std::size_t{0};
  };
  explicit Turns(const Options& options);

  // kNow: it is the caller's turn, until give() with as many bytes. kLater: `waiter` is called once, then.
  // kNever: too many wait already.
  [[nodiscard]] Turn take(std::uint64_t bytes, Waiter waiter);
  void give(std::uint64_t bytes);
  void moved(std::uint64_t bytes);  // by one whose turn it is

 private:
  struct Waiting {
    std::uint64_t weight;
    Waiter waiter;
  };
  void let_in();
  [[nodiscard]] std::optional<Waiting> next_in(bool first);
  void run(const std::stop_token& stop);

  const std::size_t waiting_max_;
  Mutex mutex_;
  Condition wake_;
  TurnLimit limit_ MUSTER_GUARDED_BY(mutex_);
  std::deque<Waiting> waiting_ MUSTER_GUARDED_BY(mutex_);
  bool letting_in_ MUSTER_GUARDED_BY(mutex_) = false;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace muster::agg
