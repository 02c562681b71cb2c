#pragma once  // tests/sim/virtual_threads.h: threads, waits and clocks of the code under test, in virtual
              // time on one real thread
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"
#include "common/base/random.h"

namespace muster::sim {

using Nanos = std::chrono::nanoseconds;
inline constexpr Nanos kForever = Nanos::max();

// While one exists, threads, condition variables, contended mutexes, sleeps and clocks of this program are
// its: virtual_threads.cc defines these functions of the C library in front of the library's. So the operator
// runs as it is, with all its threads, and a seed decides in which order they run. A thread runs until it
// waits. Time stands still while anything can run, and then goes to the next event.
//
// Not covered: futexes below std::atomic::wait, and I/O. std::this_thread::get_id() is one for all.
class VirtualThreads {
 public:
  explicit VirtualThreads(std::uint64_t seed);
  ~VirtualThreads();  // every thread must have ended
  VirtualThreads(const VirtualThreads&) = delete;
  VirtualThreads& operator=(const VirtualThreads&) = delete;

  [[nodiscard]] static VirtualThreads* active();

  [[nodiscard]] Nanos now() const { return now_; }
  [[nodiscard]] WallTime wall() const;  // without anybody's skew
  // Runs `what` on the main loop, outside of every thread.
  void at(Nanos when, std::function<void()> what);
  void after(Nanos delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }
  // On the main loop: runs events and threads up to `until`, or until `enough` says so.
  void run(Nanos until, const std::function<bool()>& enough = {});

  // A process is what `main` starts. Returns its number, > 0.
  int spawn(std::function<void()> main);
  void post(int process, std::function<void()> body);  // another thread of it, which nobody joins
  void pause(int process);                             // as SIGSTOP: time goes on without it
  void resume(int process);
  void set_skew(int process, Nanos skew);  // of its wall clock
  [[nodiscard]] bool has_ended(int process) const;
  [[nodiscard]] int process() const;  // of the running thread; 0 on the main loop

  // Of a thread: waits until somebody wakes `on`; false once `until` has come before that.
  bool wait(const void* on, Nanos until = kForever);
  void wake(const void* on);
  void wake_one(const void* on);

  // What stands behind the functions of the C library.
  std::uint64_t create(void* (*start)(void*), void* argument);
  void join(std::uint64_t thread);
  [[nodiscard]] Nanos wall_of_running() const;

 private:
  struct Thread;
  struct Event {
    Nanos when;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return when != other.when ? when > other.when : order > other.order;
    }
  };
  struct Process {
    bool paused = false;
    Nanos skew{0};
    int threads = 0;
    std::vector<Thread*> parked;
  };
  Thread& start(int process, std::function<void()> body);
  void resume_thread(Thread& thread);
  void suspend();
  void make_ready(Thread& thread);
  void finish(Thread& thread);
  static void enter();

  Random random_;
  Nanos now_;
  std::uint64_t next_order_ = 0, next_thread_ = 1;
  int next_process_ = 1;
  std::priority_queue<Event> events_;
  std::deque<Thread*> ready_;
  std::map<std::uint64_t, std::unique_ptr<Thread>> threads_;
  std::unordered_map<const void*, std::deque<Thread*>> waiting_;
  std::map<int, Process> processes_;
  Thread* running_ = nullptr;
};

}  // namespace muster::sim
