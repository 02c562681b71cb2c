// tests/sim/virtual_threads.cc: coroutines in place of threads, and the functions of the C library that lead
// to them
#include "virtual_threads.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "common/base/check.h"

namespace muster::sim {
namespace {

constexpr std::size_t kStackBytes = 256U << 10U;
constexpr Nanos kBoot = std::chrono::hours(1000);           // of the monotonic clock
constexpr Nanos kEpoch = std::chrono::seconds(1893456000);  // 2030-01-01: of the wall clock, at kBoot
constexpr std::uint64_t kOutOfOrder =
    4;  // of so many choices of the next thread, one is not the longest waiting

VirtualThreads* the_active = nullptr;

// Stacks are used again, by later threads and later simulations.
std::vector<void*>& spare_stacks() {
  static std::vector<void*> stacks;
  return stacks;
}

void* take_stack() {
  auto& spare = spare_stacks();
  if (!spare.empty()) {
    void* stack = spare.back();
    spare.pop_back();
    return stack;
  }
  void* stack =
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  MUSTER_CHECK(stack != MAP_FAILED);
  mprotect(stack, 4096, PROT_NONE);  // an overflow is a crash, not a riddle
  return stack;
}

}  // namespace

struct VirtualThreads::Thread {
  std::uint64_t id = 0;
  int process = 0;
  std::function<void()> body;
  ucontext_t context{}, back{};
  void* stack = nullptr;
  const void* waits_on = nullptr;
  std::uint64_t waits = 0;  // how often it has waited: a timer of an earlier wait is void
  bool woken = false, ended = false;
};

VirtualThreads::VirtualThreads(std::uint64_t seed) : random_(seed), now_(kBoot) {
  MUSTER_CHECK(the_active == nullptr);
  the_active = this;
}

VirtualThreads::~VirtualThreads() {
  the_active = nullptr;
  MUSTER_CHECK(threads_.empty());
}

VirtualThreads* VirtualThreads::active() { return the_active; }

WallTime VirtualThreads::wall() const {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(kEpoch + (now_ - kBoot)));
}

Nanos VirtualThreads::wall_of_running() const {
  const auto found = processes_.find(process());
  return kEpoch + (now_ - kBoot) + (found == processes_.end() ? Nanos(0) : found->second.skew);
}

int VirtualThreads::process() const { return running_ == nullptr ? 0 : running_->process; }

void VirtualThreads::at(Nanos when, std::function<void()> what) {
  events_.push({std::max(when, now_), next_order_++, std::move(what)});
}

void VirtualThreads::enter() {
  VirtualThreads& self = *the_active;
  Thread& thread = *self.running_;
  thread.body();
  thread.body = {};
  thread.ended = true;
  self.wake(&thread);
  self.suspend();  // for good
}

VirtualThreads::Thread& VirtualThreads::start(int process, std::function<void()> body) {
  auto owned = std::make_unique<Thread>();
  Thread& thread = *owned;
  thread.id = next_thread_++;
  thread.process = process;
  thread.body = std::move(body);
  thread.stack = take_stack();
  getcontext(&thread.context);
  thread.context.uc_stack.ss_sp = thread.stack;
  thread.context.uc_stack.ss_size = kStackBytes;
  thread.context.uc_link = nullptr;
  makecontext(&thread.context, &VirtualThreads::enter, 0);
  ++processes_[process].threads;
  threads_[thread.id] = std::move(owned);
  make_ready(thread);
  return thread;
}

int VirtualThreads::spawn(std::function<void()> main) {
  const int process = next_process_++;
  start(process, std::move(main));
  return process;
}

void VirtualThreads::post(int process, std::function<void()> body) { start(process, std::move(body)); }

void VirtualThreads::make_ready(Thread& thread) {
  Process& process = processes_[thread.process];
  if (process.paused)
    process.parked.push_back(&thread);
  else
    ready_.push_back(&thread);
}

void VirtualThreads::pause(int process) {
  processes_[process].paused = true;
  for (Thread* thread : ready_)
    if (thread->process == process) processes_[process].parked.push_back(thread);
  std::erase_if(ready_, [process](const Thread* thread) { return thread->process == process; });
}

void VirtualThreads::resume(int process) {
  processes_[process].paused = false;
  for (Thread* thread : std::exchange(processes_[process].parked, {})) ready_.push_back(thread);
}

void VirtualThreads::set_skew(int process, Nanos skew) { processes_[process].skew = skew; }

bool VirtualThreads::has_ended(int process) const {
  const auto found = processes_.find(process);
  return found == processes_.end() || found->second.threads == 0;
}

void VirtualThreads::resume_thread(Thread& thread) {
  running_ = &thread;
  swapcontext(&thread.back, &thread.context);
  running_ = nullptr;
  if (thread.ended) finish(thread);
}

void VirtualThreads::finish(Thread& thread) {
  spare_stacks().push_back(thread.stack);
  --processes_[thread.process].threads;
  threads_.erase(thread.id);
}

void VirtualThreads::suspend() { swapcontext(&running_->context, &running_->back); }

void VirtualThreads::run(Nanos until, const std::function<bool()>& enough) {
  MUSTER_CHECK(running_ == nullptr);
  while (!enough || !enough()) {
    if (!ready_.empty()) {
      const std::size_t chosen = random_.below(kOutOfOrder) == 0 ? random_.below(ready_.size()) : 0;
      Thread* thread = ready_[chosen];
      ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(chosen));
      resume_thread(*thread);
      continue;
    }
    if (events_.empty() || events_.top().when > until) {
      now_ = std::max(now_, until);
      return;
    }
    Event event = events_.top();
    events_.pop();
    now_ = event.when;
    event.what();
  }
}

bool VirtualThreads::wait(const void* on, Nanos until) {
  MUSTER_CHECK(running_ != nullptr);  // the main loop must not wait
  Thread& self = *running_;
  self.waits_on = on;
  self.woken = false;
  const std::uint64_t turn = ++self.waits;
  waiting_[on].push_back(&self);
  if (until != kForever) {
    at(until, [this, id = self.id, turn] {
      const auto found = threads_.find(id);
      if (found == threads_.end() || found->second->waits != turn || found->second->waits_on == nullptr)
        return;
      Thread& thread = *found->second;
      auto& queue = waiting_[thread.waits_on];
      std::erase(queue, &thread);
      if (queue.empty()) waiting_.erase(thread.waits_on);
      thread.waits_on = nullptr;
      make_ready(thread);
    });
  }
  suspend();
  return self.woken;
}

void VirtualThreads::wake_one(const void* on) {
  const auto found = waiting_.find(on);
  if (found == waiting_.end()) return;
  Thread* thread = found->second.front();
  found->second.pop_front();
  if (found->second.empty()) waiting_.erase(found);
  thread->waits_on = nullptr;
  thread->woken = true;
  make_ready(*thread);
}

void VirtualThreads::wake(const void* on) {
  while (waiting_.contains(on)) wake_one(on);
}

std::uint64_t VirtualThreads::create(void* (*start_routine)(void*), void* argument) {
  return start(process(), [start_routine, argument] { start_routine(argument); }).id;
}

void VirtualThreads::join(std::uint64_t thread) {
  const auto found = threads_.find(thread);
  if (found != threads_.end() && !found->second->ended) wait(found->second.get());
}

namespace {

template <typename Function>
Function library(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

int lock(pthread_mutex_t* mutex) {
  static const auto kReal = library<int (*)(pthread_mutex_t*)>("pthread_mutex_lock");
  if (the_active == nullptr) return kReal(mutex);
  while (pthread_mutex_trylock(mutex) == EBUSY) the_active->wait(mutex);
  return 0;
}

int unlock(pthread_mutex_t* mutex) {
  static const auto kReal = library<int (*)(pthread_mutex_t*)>("pthread_mutex_unlock");
  const int result = kReal(mutex);
  if (the_active != nullptr) the_active->wake_one(mutex);
  return result;
}

Nanos from(const timespec& time) { return std::chrono::seconds(time.tv_sec) + Nanos(time.tv_nsec); }

int read_clock(clockid_t clock, timespec* time) {
  const bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
  const bool steady = clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME;
  if (the_active == nullptr || (!wall && !steady))
    return static_cast<int>(syscall(SYS_clock_gettime, clock, time));
  const Nanos now = wall ? the_active->wall_of_running() : the_active->now();
  time->tv_sec = now.count() / 1'000'000'000;
  time->tv_nsec = now.count() % 1'000'000'000;
  return 0;
}

int wait_on(pthread_cond_t* condition, pthread_mutex_t* mutex, Nanos until) {
  unlock(mutex);
  const bool woken = the_active->wait(condition, until);
  lock(mutex);
  return woken ? 0 : ETIMEDOUT;
}

int wait_until(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock, const timespec* until) {
  timespec now{};
  read_clock(clock, &now);
  return wait_on(condition, mutex, the_active->now() + std::max(from(*until) - from(now), Nanos(0)));
}

}  // namespace
}  // namespace muster::sim

// The functions that this program has in front of the C library's. Outside of a simulation they are the
// library's.
using muster::sim::VirtualThreads;

extern "C" {

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) noexcept {
  static const auto kReal =
      muster::sim::library<int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>(
          "pthread_create");
  if (VirtualThreads::active() == nullptr) return kReal(thread, attributes, start, argument);
  *thread = VirtualThreads::active()->create(start, argument);
  return 0;
}

int pthread_join(pthread_t thread, void** result) {
  static const auto kReal = muster::sim::library<int (*)(pthread_t, void**)>("pthread_join");
  if (VirtualThreads::active() == nullptr) return kReal(thread, result);
  VirtualThreads::active()->join(thread);
  return 0;
}

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept { return muster::sim::lock(mutex); }
int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept { return muster::sim::unlock(mutex); }

int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  static const auto kReal =
      muster::sim::library<int (*)(pthread_cond_t*, pthread_mutex_t*)>("pthread_cond_wait");
  if (VirtualThreads::active() == nullptr) return kReal(condition, mutex);
  return muster::sim::wait_on(condition, mutex, muster::sim::kForever);
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                           const timespec* until) {
  static const auto kReal =
      muster::sim::library<int (*)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*)>(
          "pthread_cond_clockwait");
  if (VirtualThreads::active() == nullptr) return kReal(condition, mutex, clock, until);
  return muster::sim::wait_until(condition, mutex, clock, until);
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until) {
  static const auto kReal = muster::sim::library<int (*)(pthread_cond_t*, pthread_mutex_t*, const timespec*)>(
      "pthread_cond_timedwait");
  if (VirtualThreads::active() == nullptr) return kReal(condition, mutex, until);
  return muster::sim::wait_until(condition, mutex, CLOCK_REALTIME, until);
}

int pthread_cond_signal(pthread_cond_t* condition) noexcept {
  static const auto kReal = muster::sim::library<int (*)(pthread_cond_t*)>("pthread_cond_signal");
  if (VirtualThreads::active() == nullptr) return kReal(condition);
  VirtualThreads::active()->wake_one(condition);
  return 0;
}

int pthread_cond_broadcast(pthread_cond_t* condition) noexcept {
  static const auto kReal = muster::sim::library<int (*)(pthread_cond_t*)>("pthread_cond_broadcast");
  if (VirtualThreads::active() == nullptr) return kReal(condition);
  VirtualThreads::active()->wake(condition);
  return 0;
}

int clock_gettime(clockid_t clock, timespec* time) noexcept { return muster::sim::read_clock(clock, time); }

int nanosleep(const timespec* span, timespec* left) {
  static const auto kReal = muster::sim::library<int (*)(const timespec*, timespec*)>("nanosleep");
  VirtualThreads* const active = VirtualThreads::active();
  if (active == nullptr) return kReal(span, left);
  active->wait(span, active->now() + muster::sim::from(*span));
  return 0;
}

}  // extern "C"
