#pragma once  // local/api/watch_stream.h: the body of a watch: one JSON event a line
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "common/platform/mutex.h"
#include "local/api/http_message.h"
#include "local/api/kind.h"
#include "local/api/object_store.h"
#include "local/api/render.h"
#include "local/api/selectors.h"
#include "local/api/timer_queue.h"

namespace muster::local {

struct WatchOptions {
  KindPtr kind;
  Selector selector;
  Format format;
  bool bookmarks = false;
  bool initial_events_end = false;     // a bookmark says that all existing objects were sent
  std::chrono::seconds timeout{0};     // when it ends by itself
  std::optional<ApiError> fail_first;  // a fault: this error instead of events
};

class WatchStream : public BodyStream, public std::enable_shared_from_this<WatchStream> {
 public:
  // `existing`: objects to report as ADDED first. The timers outlive the stream.
  WatchStream(WatchOptions options, std::vector<ObjectPtr> existing,
              std::unique_ptr<ObjectStore::Cursor> cursor, TimerQueue& timers);
  State pull(std::string& out) override;
  void when_ready(std::function<void()> ready) override;
  void close() override;

 private:
  void add(std::string& out, std::string_view type, const StoredObject& object);
  void add_change(std::string& out, const Change& change);
  void add_bookmark_if_due(std::string& out, Instant now);
  void fire();
  void fire_at(Instant when);

  const WatchOptions options_;
  std::vector<ObjectPtr> existing_;
  std::size_t next_existing_ = 0;
  std::unique_ptr<ObjectStore::Cursor> cursor_;
  TimerQueue& timers_;
  Instant end_;
  Instant next_bookmark_;
  Instant next_heartbeat_;
  bool last_bookmark_sent_ = false;
  bool initial_events_ended_ = false;
  std::uint64_t start_version_ = 0;
  bool first_ = true;
  bool ended_ = false;
  std::atomic<bool> closed_{false};

  Mutex mutex_;
  std::function<void()> ready_ MUSTER_GUARDED_BY(mutex_);
  bool armed_ MUSTER_GUARDED_BY(mutex_) = false;  // the cursor will call fire()
  Instant timer_ MUSTER_GUARDED_BY(mutex_){};     // the earliest timer that will
};

}  // namespace muster::local
