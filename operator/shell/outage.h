#pragma once  // operator/shell/outage.h: while the API server is away, one write asks for
              // all of a kind whether it is back
#include <chrono>

#include "common/base/clock.h"
#include "common/platform/mutex.h"

namespace muster::op {

class Outage {  // thread-safe
 public:
  static constexpr std::chrono::milliseconds kPauseMin{250};
  static constexpr std::chrono::milliseconds kPauseMax{
      4'000};  // everybody waits for so long after its return

  // How long whoever wants to write is to wait; zero: it may. While the server is away, it is the one that
  // asks.
  [[nodiscard]] std::chrono::milliseconds wait(Instant now) MUSTER_EXCLUDES(mutex_);
  // How long until the next one asks; zero: at once, or the server is there.
  [[nodiscard]] std::chrono::milliseconds pause(Instant now) MUSTER_EXCLUDES(mutex_);
  // A write has not come through. True when it is the first one.
  bool failed(Instant now) MUSTER_EXCLUDES(mutex_);
  // The server has answered. True when it was away.
  bool answered() MUSTER_EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  std::chrono::milliseconds pause_ MUSTER_GUARDED_BY(mutex_){0};  // zero: the server is there
  Instant counted_at_ MUSTER_GUARDED_BY(mutex_);
  Instant asks_at_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::op
