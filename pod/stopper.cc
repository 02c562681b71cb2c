// pod/stopper.cc: the thread behind stopper.h
#include "pod/stopper.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "common/base/clock.h"
#include "common/platform/log.h"
#include "pod/pod_contract.h"

namespace muster {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLookInterval{100};  // how late the end of the program is noticed
// A pod has 30 s from SIGTERM to SIGKILL unless its manifest says otherwise. A step or a checkpoint that is
// under way may need most of them; the rest is for a checkpoint after the hard abort, and for the last words.
constexpr milliseconds kStopTime{20'000};  // for the work under way to end by itself
constexpr milliseconds kExitTime{28'000};  // then the process ends

}  // namespace

Stopper::Stopper(SignalWaiter& signals) : thread_([this, &signals] { run(signals); }) {}

Stopper::~Stopper() {
  over_ = true;
  thread_.join();
}

bool Stopper::wait(milliseconds span) {
  MutexLock lock(mutex_);
  return asked_.wait_for(lock, span, [this] { return requested(); });
}

void Stopper::set_abort(std::function<void(bool hard)> abort) {
  const MutexLock lock(mutex_);
  abort_ = std::move(abort);
  if (requested() && abort_) abort_(false);
  if (superseded() && abort_) abort_(true);
}

void Stopper::working_for(std::optional<std::int64_t> membership) {
  const MutexLock lock(mutex_);
  working_for_ = membership;
}

void Stopper::break_off_before(std::int64_t membership) {
  const MutexLock lock(mutex_);
  newest_ = std::max(newest_, membership);
  if (superseded() && abort_) abort_(true);
}

bool Stopper::superseded() const { return working_for_ && *working_for_ < newest_; }

void Stopper::run(SignalWaiter& signals) {
  std::optional<Instant> since;
  bool aborted = false;
  while (!over_) {
    if (signals.wait(kLookInterval) && !since) {
      since = steady_clock::now();
      spdlog::info("asked to stop: ending after the present step");
      call(false);
    }
    if (!since) continue;
    const auto passed = steady_clock::now() - *since;
    if (passed > kStopTime && !std::exchange(aborted, true)) call(true);
    if (passed > kExitTime) {
      spdlog::warn("what is under way takes too long: ending without it");
      std::_Exit(kExitStopped);
    }
  }
}

void Stopper::call(bool hard) {
  const MutexLock lock(mutex_);
  requested_ = true;
  asked_.notify_all();
  if (abort_) abort_(hard);
}

}  // namespace muster
