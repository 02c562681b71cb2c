#pragma once  // worker/transport/watch_thread.h: the thread that keeps the watch over a rank's neighbours
#include <atomic>
#include <cstddef>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "common/platform/mutex.h"
#include "worker/transport/byte_stream.h"
#include "worker/transport/note.h"
#include "worker/transport/peer_watch.h"
#include "worker/transport/sockets.h"

namespace muster::worker {

// Receives from the successor and sends to the predecessor, the directions that no payload takes.
// A thread of its own, since ranks must beat and pass verdicts on while they compute. All methods are
// thread-safe.
class WatchThread {
 public:
  // The streams outlive this object. `on_verdict` is called once, from any thread, when the ring has ended.
  WatchThread(ByteStream& successor, ByteStream& predecessor, PeerWatch watch,
              std::function<void()> on_verdict);
  ~WatchThread();
  WatchThread(const WatchThread&) = delete;
  WatchThread& operator=(const WatchThread&) = delete;

  // The payload's thread begins to wait for its links, or has ended that.
  void count_wait() { waits_.fetch_add(1, std::memory_order_relaxed); }

  [[nodiscard]] std::optional<Error> await_verdict(std::chrono::milliseconds limit);  // PeerWatch's
  void ask();                                                                         // PeerWatch's
  void leave(const Status& why);                    // PeerWatch's; nothing is written after it
  void await_end(std::chrono::milliseconds limit);  // until the successor has closed

 private:
  void run();
  void read_notes() MUSTER_REQUIRES(mutex_);
  void tell(const std::optional<Note>& note) MUSTER_REQUIRES(mutex_);
  void flush() MUSTER_REQUIRES(mutex_);
  void pass_verdict() MUSTER_REQUIRES(mutex_);

  ByteStream& successor_;
  ByteStream& predecessor_;
  std::function<void()> on_verdict_;
  Alarm stop_;
  std::atomic<std::uint32_t> waits_ = 0;
  Mutex mutex_;
  Condition changed_;
  PeerWatch watch_ MUSTER_GUARDED_BY(mutex_);
  bool verdict_passed_ MUSTER_GUARDED_BY(mutex_) = false;
  bool successor_closed_ MUSTER_GUARDED_BY(mutex_) = false;
  NoteBytes note_ MUSTER_GUARDED_BY(mutex_){};
  std::size_t note_filled_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::vector<std::byte> pending_
      MUSTER_GUARDED_BY(mutex_);  // of notes that the predecessor did not take yet
  std::thread thread_;            // last: it uses the others
};

}  // namespace muster::worker
