#pragma once  // aggregator/shell/pod_calls.h: how many calls a pod has open at once, over all its connections
#include <cstdint>
#include <map>
#include <memory>

#include "aggregator/shell/caller.h"
#include "common/platform/mutex.h"

namespace muster::agg {

// gRPC limits the calls of a connection; who has several connections would have as many times more, each with
// the beginning of a message in memory. Thread-safe.
class PodCalls {
 public:
  explicit PodCalls(std::int64_t most) : most_(most) {}

  // Until the last copy of the answer goes, the call counts. Null: the pod has `most` already.
  [[nodiscard]] std::shared_ptr<const void> open(const Caller& caller) {
    const MutexLock lock(mutex_);
    std::int64_t& calls = open_[caller.pod];
    if (calls == most_) return nullptr;
    ++calls;
    return {&calls, [this, pod = caller.pod](const void*) { close(pod); }};
  }

  [[nodiscard]] std::int64_t most() const { return most_; }

 private:
  void close(std::int64_t pod) {
    const MutexLock lock(mutex_);
    if (const auto found = open_.find(pod); --found->second == 0) open_.erase(found);
  }

  const std::int64_t most_;
  Mutex mutex_;
  std::map<std::int64_t, std::int64_t> open_ MUSTER_GUARDED_BY(mutex_);  // calls, by pod
};

}  // namespace muster::agg
