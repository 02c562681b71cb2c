#pragma once  // local/runtime/reactor.h: one thread that waits for descriptors, timers and posted work
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"
#include "common/platform/file_descriptor.h"
#include "common/platform/mutex.h"

namespace muster::local {

// run() and every method but post() belong to one thread. Handlers may add and remove anything, themselves
// included.
class Reactor {
 public:
  using Handler = std::function<void()>;
  using TimerId = std::uint64_t;

  Reactor();
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  enum class Wait { kReadable, kWritable };
  // `handler` runs while `fd` is so, or has hung up. The caller closes fd, after forget(fd).
  void watch(int fd, Handler handler, Wait wait = Wait::kReadable);
  void forget(int fd);
  // Runs `handler` once at `due`. A cancelled or unknown id is fine.
  TimerId at(Instant due, Handler handler);
  void cancel(TimerId id);
  // From any thread: runs `handler` on the reactor's thread.
  void post(Handler handler);
  // Until stop(), which a handler calls.
  void run();
  void stop() { stopped_ = true; }

 private:
  void run_posted();
  void run_timers();
  [[nodiscard]] int wait_ms() const;

  FileDescriptor epoll_;
  FileDescriptor wake_;
  bool stopped_ = false;
  TimerId next_timer_ = 1;
  std::map<std::pair<Instant, TimerId>, Handler> timers_;
  std::unordered_map<TimerId, Instant> due_;
  std::unordered_map<int, std::shared_ptr<Handler>> handlers_;
  Mutex mutex_;
  std::vector<Handler> posted_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::local
