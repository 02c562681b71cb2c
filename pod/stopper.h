#pragma once  // pod/stopper.h: SIGTERM as a wish, then an order, then the end of the process
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <thread>

#include "common/platform/mutex.h"
#include "common/platform/signals.h"

namespace muster {

// Listens beside the program's work: asks it to stop, makes it stop when that takes too long, and ends the
// process before Kubernetes would, whatever a computation under way does. All methods are thread-safe.
class Stopper {
 public:
  explicit Stopper(SignalWaiter& signals);
  ~Stopper();
  Stopper(const Stopper&) = delete;
  Stopper& operator=(const Stopper&) = delete;

  [[nodiscard]] bool requested() const { return requested_.load(std::memory_order_relaxed); }
  // Sleeps for `span`, or until a stop is asked for; whether one is.
  [[nodiscard]] bool wait(std::chrono::milliseconds span);
  // `abort` is called when a stop is asked for (at once if it was already), and again with `hard` when the
  // time is up; by one thread at a time, never after it was replaced.
  void set_abort(std::function<void(bool hard)> abort);
  // The work under way is for this membership; nothing: there is none to break off.
  void working_for(std::optional<std::int64_t> membership);
  // An assignment of `membership` waits: calls `abort` with `hard`, though no stop is asked for, now and
  // whenever another is set while the work under way is for an earlier one.
  void break_off_before(std::int64_t membership);

 private:
  void run(SignalWaiter& signals);
  void call(bool hard) MUSTER_EXCLUDES(mutex_);
  [[nodiscard]] bool superseded() const MUSTER_REQUIRES(mutex_);

  std::atomic<bool> over_ = false;
  std::atomic<bool> requested_ = false;
  Mutex mutex_;
  Condition asked_;
  std::function<void(bool)> abort_ MUSTER_GUARDED_BY(mutex_);
  std::optional<std::int64_t> working_for_ MUSTER_GUARDED_BY(mutex_);
  // Of the assignments that came to take the place of another.
  std::int64_t newest_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::thread thread_;  // last: it uses the others
};

}  // namespace muster
