#pragma once  // kube/work_queue.h: keys to reconcile: each once while it waits, never in two workers at the
              // same time
#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <queue>
#include <set>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "common/base/clock.h"
#include "common/platform/mutex.h"

namespace muster::kube {

// What a queue tells about itself; metrics.h turns it into Prometheus series. Called under the queue's lock:
// be quick.
class QueueObserver {
 public:
  virtual ~QueueObserver() = default;
  virtual void added(std::size_t depth) = 0;
  virtual void started(std::size_t depth, double waited_seconds) = 0;
  virtual void finished(double worked_seconds) = 0;
  virtual void retried() = 0;
};

class WorkQueue {  // thread-safe
 public:
  struct Options {
    std::chrono::milliseconds first_delay{5};     // per key, doubled at each failure: client-go's
    std::chrono::milliseconds max_delay{60'000};  // a minute, not 1000 s: a person is waiting
    const Clock* clock = nullptr;                 // null: the system's
    QueueObserver* observer = nullptr;
  };
  WorkQueue() : WorkQueue(Options()) {}
  explicit WorkQueue(Options options);

  void add(const std::string& key);
  // The same, but no sooner than the pause after its last work has passed: of a burst, the first is at once
  // and the others are gathered.
  void add_gathered(const std::string& key);
  void add_after(const std::string& key, std::chrono::milliseconds delay);  // the earliest of several wins
  // After a failure: waits first_delay * 2^(failures of this key), max_delay at most. Returns the delay.
  std::chrono::milliseconds add_rate_limited(const std::string& key);
  void forget(const std::string& key);  // it went well: its failures are forgotten

  // The next key, marked as in work until done(); none when `stop` is requested or shut_down() was called.
  [[nodiscard]] std::optional<std::string> take(const std::stop_token& stop);
  // If it was added meanwhile, it waits again; if by add_gathered, for `pause` at least.
  void done(const std::string& key, std::chrono::milliseconds pause = {});
  void shut_down();

  [[nodiscard]] std::size_t depth() const;
  [[nodiscard]] int failures(const std::string& key) const;
  // For tests with a clock of their own: moves due keys into the queue; returns the next due time.
  std::optional<Instant> advance();
  struct Unfinished {
    double sum_seconds = 0;
    double longest_seconds = 0;
  };
  [[nodiscard]] Unfinished unfinished() const;

 private:
  [[nodiscard]] Instant now() const;
  void enqueue(const std::string& key) MUSTER_REQUIRES(mutex_);
  void enqueue_at(const std::string& key, Instant due) MUSTER_REQUIRES(mutex_);
  void note_pause(const std::string& key, std::chrono::milliseconds pause) MUSTER_REQUIRES(mutex_);
  std::optional<Instant> promote() MUSTER_REQUIRES(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  Condition changed_;
  std::deque<std::string> ready_ MUSTER_GUARDED_BY(mutex_);
  std::unordered_map<std::string, Instant> dirty_
      MUSTER_GUARDED_BY(mutex_);  // waiting or to be run again; since when
  std::unordered_map<std::string, Instant> processing_ MUSTER_GUARDED_BY(mutex_);  // since when
  std::unordered_set<std::string> gathered_ MUSTER_GUARDED_BY(mutex_);             // added to what is in work
  std::unordered_map<std::string, Instant> paused_until_ MUSTER_GUARDED_BY(mutex_);
  std::set<std::pair<Instant, std::string>> delayed_ MUSTER_GUARDED_BY(mutex_);
  std::unordered_map<std::string, Instant> due_ MUSTER_GUARDED_BY(mutex_);
  std::unordered_map<std::string, int> failures_ MUSTER_GUARDED_BY(mutex_);
  bool shut_down_ MUSTER_GUARDED_BY(mutex_) = false;
};

}  // namespace muster::kube
