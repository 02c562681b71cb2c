// worker/transport/watch_thread.cc: polls, reads and writes for PeerWatch
#include "worker/transport/watch_thread.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <span>

#include "common/base/clock.h"

namespace muster::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

}  // namespace

WatchThread::WatchThread(ByteStream& successor, ByteStream& predecessor, PeerWatch watch,
                         std::function<void()> on_verdict)
    : successor_(successor),
      predecessor_(predecessor),
      on_verdict_(std::move(on_verdict)),
      watch_(std::move(watch)),
      thread_([this] { run(); }) {}

WatchThread::~WatchThread() {
  stop_.ring();
  thread_.join();
}

std::optional<Error> WatchThread::await_verdict(milliseconds limit) {
  MutexLock lock(mutex_);
  changed_.wait_for(lock, limit, [this]() MUSTER_REQUIRES(mutex_) { return watch_.verdict().has_value(); });
  return watch_.verdict();
}

void WatchThread::ask() {
  const MutexLock lock(mutex_);
  tell(watch_.ask());
}

void WatchThread::leave(const Status& why) {
  const MutexLock lock(mutex_);
  tell(watch_.leave(why));
  predecessor_.end_sending();
}

void WatchThread::await_end(milliseconds limit) {
  MutexLock lock(mutex_);
  changed_.wait_for(lock, limit, [this]() MUSTER_REQUIRES(mutex_) { return successor_closed_; });
}

void WatchThread::run() {
  Instant next_beat = steady_clock::now();
  if (successor_.can_move(ByteStream::Way::kReceive)) {  // what came behind its welcome
    const MutexLock lock(mutex_);
    read_notes();
  }
  while (true) {
    std::array<pollfd, 3> polled{};
    {
      const MutexLock lock(mutex_);
      polled[0] = {.fd = successor_closed_ ? -1 : successor_.fd(), .events = POLLIN, .revents = 0};
      polled[1] = {.fd = pending_.empty() ? -1 : predecessor_.fd(), .events = POLLOUT, .revents = 0};
      polled[2] = {.fd = stop_.fd(), .events = POLLIN, .revents = 0};
    }
    const auto left = std::chrono::ceil<milliseconds>(next_beat - steady_clock::now());
    const int timeout = static_cast<int>(std::max<milliseconds::rep>(left.count(), 0));
    const int count = poll(polled.data(), polled.size(), timeout);
    if (count > 0 && polled[2].revents != 0) return;
    const MutexLock lock(mutex_);
    if (count > 0 && polled[0].revents != 0) read_notes();
    if (count > 0 && polled[1].revents != 0) flush();
    if (const Instant now = steady_clock::now(); now >= next_beat) {
      tell(watch_.tick(waits_.load(std::memory_order_relaxed),
                       static_cast<int>((now - next_beat) / PeerWatch::kBeat)));
      next_beat = now + PeerWatch::kBeat;
    }
  }
}

void WatchThread::read_notes() {
  while (true) {
    const Moved moved = successor_.receive({}, std::span(note_).subspan(note_filled_));
    if (moved.end != Moved::End::kNone) {
      successor_closed_ = true;
      changed_.notify_all();
      if (moved.end == Moved::End::kForged) return tell(watch_.heard(std::nullopt));
      return tell(watch_.closed(moved.end == Moved::End::kUnreachable));
    }
    if (moved.bytes == 0) return;
    note_filled_ += moved.bytes;
    if (note_filled_ < note_.size()) continue;
    note_filled_ = 0;
    tell(watch_.heard(decode_note(note_)));
  }
}

void WatchThread::tell(const std::optional<Note>& note) {
  // A predecessor that reads nothing gets no more beats than one: they must not pile up.
  if (note && (pending_.empty() || note->kind != Note::Kind::kBeat)) {
    const NoteBytes bytes = encode_note(*note);
    pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  }
  flush();
  pass_verdict();
}

void WatchThread::flush() {
  while (!pending_.empty()) {
    const Moved moved = predecessor_.send({}, pending_);
    // A predecessor that is gone is no matter of ours: its own predecessor watches it.
    if (moved.end != Moved::End::kNone) pending_.clear();
    if (moved.bytes == 0) return;
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(moved.bytes));
  }
}

void WatchThread::pass_verdict() {
  if (!watch_.verdict() || verdict_passed_) return;
  verdict_passed_ = true;
  changed_.notify_all();
  on_verdict_();
}

}  // namespace muster::worker
