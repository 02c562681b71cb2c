#pragma once  // aggregator/shell/aggregate_thread.h: the one thread that touches the strategy
#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "aggregator/strategy/strategy.h"
#include "common/platform/mutex.h"

namespace muster::agg {

// Runs jobs in the order of their posting. Each takes time with the size of the model, so none runs under
// anybody's lock, and none on a thread of gRPC's, of which there are few.
class AggregateThread {
 public:
  using Job = std::function<void(Strategy& strategy)>;

  explicit AggregateThread(std::unique_ptr<Strategy> strategy);
  ~AggregateThread();  // runs what was posted before
  AggregateThread(const AggregateThread&) = delete;
  AggregateThread& operator=(const AggregateThread&) = delete;

  // Thread-safe.
  void post(Job job);
  void post_next(Job job);  // before the others that wait
  [[nodiscard]] learning::LocalSettings settings() const { return strategy_->settings(); }

 private:
  void run();

  Mutex mutex_;
  Condition wake_;
  std::deque<Job> jobs_ MUSTER_GUARDED_BY(mutex_);
  bool stopping_ MUSTER_GUARDED_BY(mutex_) = false;
  const std::unique_ptr<Strategy> strategy_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace muster::agg
