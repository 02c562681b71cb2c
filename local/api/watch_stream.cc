// local/api/watch_stream.cc: turns changes of the store into the events that one watch sees
#include "local/api/watch_stream.h"

#include <algorithm>

namespace muster::local {
namespace {

constexpr std::size_t kPieceBytes = 64 * 1024;
constexpr auto kBookmarkEvery = std::chrono::seconds(60);
constexpr auto kBookmarkBeforeEnd = std::chrono::seconds(2);
// A client that left is noticed by writing only. A space between two events means nothing to any JSON reader.
constexpr auto kHeartbeatEvery = std::chrono::seconds(30);
constexpr auto kFarAway = std::chrono::hours(24);

}  // namespace

WatchStream::WatchStream(WatchOptions options, std::vector<ObjectPtr> existing,
                         std::unique_ptr<ObjectStore::Cursor> cursor, TimerQueue& timers)
    : options_(std::move(options)),
      existing_(std::move(existing)),
      cursor_(std::move(cursor)),
      timers_(timers) {
  const Instant now = std::chrono::steady_clock::now();
  end_ = now + (options_.timeout.count() > 0 ? std::chrono::seconds(options_.timeout)
                                             : std::chrono::seconds(kFarAway));
  next_bookmark_ = now + kBookmarkEvery;
  next_heartbeat_ = now + kHeartbeatEvery;
  start_version_ = cursor_->version();
}

void WatchStream::add(std::string& out, std::string_view type, const StoredObject& object) {
  out += render_event(*options_.kind, type, object, options_.format, first_);
  first_ = false;
}

void WatchStream::add_change(std::string& out, const Change& change) {
  const bool now_in = change.type != ChangeType::kDeleted && options_.selector.matches(*change.object);
  const bool was_in = change.previous != nullptr && options_.selector.matches(*change.previous);
  if (now_in) {
    add(out, was_in ? "MODIFIED" : "ADDED", *change.object);
  } else if (was_in) {
    if (change.type == ChangeType::kDeleted) {
      add(out, "DELETED", *change.object);
    } else {  // it no longer matches: the client sees its last matching state, with the version of the change
      Json last = change.previous->json();
      last["metadata"]["resourceVersion"] = std::to_string(change.object->version);
      StoredObject object = *change.previous;
      object.text = last.dump();
      object.version = change.object->version;
      add(out, "DELETED", object);
    }
  }
}

void WatchStream::add_bookmark_if_due(std::string& out, Instant now) {
  if (!options_.bookmarks) return;
  const bool near_end =
      !last_bookmark_sent_ && options_.timeout.count() > 2 && now >= end_ - kBookmarkBeforeEnd;
  if (now < next_bookmark_ && !near_end) return;
  if (near_end) last_bookmark_sent_ = true;
  next_bookmark_ = now + kBookmarkEvery;
  const std::uint64_t version = cursor_->version();
  if (near_end && version == start_version_) return;
  out += render_bookmark(*options_.kind, version, options_.format, false);
}

BodyStream::State WatchStream::pull(std::string& out) {
  const Instant now = std::chrono::steady_clock::now();
  if (ended_ || closed_) return State::kEnd;
  if (options_.fail_first) {
    out += render_error_event(*options_.fail_first);
    ended_ = true;
    return State::kData;
  }
  const std::size_t start = out.size();
  while (next_existing_ < existing_.size() && out.size() - start < kPieceBytes)
    add(out, "ADDED", *existing_[next_existing_++]);
  if (next_existing_ < existing_.size()) return State::kData;
  existing_.clear();
  next_existing_ = 0;
  if (options_.initial_events_end && !std::exchange(initial_events_ended_, true))
    out += render_bookmark(*options_.kind, start_version_, options_.format, true);
  while (out.size() - start < kPieceBytes) {
    const auto changes = cursor_->next();
    if (!changes && changes.error().code == Code::kUnavailable) {
      ended_ = true;
      return out.size() > start ? State::kData : State::kEnd;
    }
    if (!changes) {
      ApiError error = ApiError::expired(changes.error().message);
      out += render_error_event(error);
      ended_ = true;
      return State::kData;
    }
    for (const Change& change : *changes) add_change(out, change);
    if (changes->empty()) break;
  }
  add_bookmark_if_due(out, now);
  if (now >= end_) ended_ = true;
  if (out.size() > start) {
    next_heartbeat_ = now + kHeartbeatEvery;
  } else if (now >= next_heartbeat_ && !ended_) {
    out += ' ';
    next_heartbeat_ = now + kHeartbeatEvery;
  }
  if (out.size() > start) return State::kData;
  return ended_ ? State::kEnd : State::kPending;
}

void WatchStream::when_ready(std::function<void()> ready) {
  bool arm = false;
  {
    const MutexLock lock(mutex_);
    ready_ = std::move(ready);
    arm = !std::exchange(armed_, true);
  }
  const std::weak_ptr<WatchStream> self = weak_from_this();
  if (arm)
    cursor_->on_change([self] {
      if (const auto stream = self.lock()) {
        {
          const MutexLock lock(stream->mutex_);
          stream->armed_ = false;
        }
        stream->fire();
      }
    });
  Instant next = std::min(end_, next_heartbeat_);
  if (options_.bookmarks) {
    next = std::min(next, next_bookmark_);
    if (!last_bookmark_sent_ && options_.timeout.count() > 2)
      next = std::min(next, end_ - kBookmarkBeforeEnd);
  }
  fire_at(next);
  if (closed_) fire();
}

void WatchStream::fire_at(Instant when) {
  {
    const MutexLock lock(mutex_);
    if (timer_ != Instant{} && timer_ <= when) return;
    timer_ = when;
  }
  timers_.at(when, [self = weak_from_this(), when] {
    const auto stream = self.lock();
    if (!stream) return;
    {
      const MutexLock lock(stream->mutex_);
      if (stream->timer_ == when) stream->timer_ = {};
    }
    stream->fire();
  });
}

void WatchStream::fire() {
  std::function<void()> ready;
  {
    const MutexLock lock(mutex_);
    ready = std::exchange(ready_, nullptr);
  }
  if (ready) ready();
}

void WatchStream::close() {
  closed_ = true;
  cursor_->close();
  fire();
}

}  // namespace muster::local
