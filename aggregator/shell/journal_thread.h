#pragma once  // aggregator/shell/journal_thread.h: the one thread that writes the journal: group commit
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "aggregator/shell/aggregator_metrics.h"
#include "aggregator/store/journal.h"
#include "common/platform/mutex.h"

namespace muster::agg {

// Writes in the order of the calls. All updates that wait together become durable by one fdatasync, so that a
// slow disk costs each of them one, not one after another. What is only noted becomes durable with what comes
// next, or by sync(). A full disk sends updates back; notes wait for room, and no update goes before them.
//
// Thread-safe. No call but sync() waits for the disk. Memory: what waits; values are written from where they
// lie, which is where they are folded from.
class JournalThread {
 public:
  using Done = std::function<void(Status)>;
  JournalThread(std::unique_ptr<Journal> journal, AggregatorMetrics& metrics);
  ~JournalThread() { stop(); }
  JournalThread(const JournalThread&) = delete;
  JournalThread& operator=(const JournalThread&) = delete;

  void note(JournalRecord record);
  // `values` are good until `done`, which is called once, on the thread, in the order of the updates: ok: it
  // is durable, and may be acknowledged. kResourceExhausted: nothing of it is kept; it may come again.
  // Another code: the journal is of no use any more.
  // `beyond`: the journal's own bound does not hold for it, only the disk's.
  void keep(UpdateKept update, std::span<const float> values, bool beyond, Done done);
  // A round is closed. `resume`: of that moment, for a new file, if one is due.
  void close(RoundClosed closed, std::uint64_t next_sequence, const std::function<Resume()>& resume);
  // What was noted and kept up to the end of `round` is durable; the rest too, but for notes that wait for
  // room. Errors: kAborted: stopped.
  [[nodiscard]] Status sync(std::int64_t round);
  void saved(std::int64_t round);  // its model: its updates are not needed any more
  void stop();                     // writes what waits, and answers it; what is noted later is lost
  void clear();                    // the federation has ended, and its model is saved
  [[nodiscard]] bool full() const { return full_; }
  [[nodiscard]] std::string full_text() const;  // why it was, the last time; empty: it never was

 private:
  struct FileStart {
    std::int64_t round = 0;
    std::uint64_t next_sequence = 1;
    Resume resume;
  };
  struct Item {
    JournalRecord record;
    std::optional<FileStart> start;  // behind the record
    std::span<const float> values;
    Done done;
    bool beyond = false;
  };
  struct Closing {
    std::int64_t round = 0;
    bool committed = true;
    std::uint64_t settled = 0;
  };

  void run();
  void write(std::deque<Item>& batch);
  [[nodiscard]] Status append(const Item& item);
  void failed(const Status& status);
  [[nodiscard]] Status sync_up_to(std::int64_t round);
  void release(std::int64_t saved);

  AggregatorMetrics& metrics_;
  mutable Mutex mutex_;
  Condition wake_;
  Condition changed_;
  std::deque<Item> queue_ MUSTER_GUARDED_BY(mutex_);
  std::uint64_t asked_ MUSTER_GUARDED_BY(mutex_) = 0;   // syncs
  std::uint64_t synced_ MUSTER_GUARDED_BY(mutex_) = 0;  // up to this one
  Status synced_status_ MUSTER_GUARDED_BY(mutex_);
  std::int64_t asked_round_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::string full_text_ MUSTER_GUARDED_BY(mutex_);
  bool stopped_ MUSTER_GUARDED_BY(mutex_) = false;
  std::int64_t saved_ MUSTER_GUARDED_BY(mutex_) = 0;
  bool clear_ MUSTER_GUARDED_BY(mutex_) = false;
  bool stopping_ MUSTER_GUARDED_BY(mutex_) = false;
  std::atomic<bool> full_ = false;
  std::atomic<bool> wants_file_ = false;

  // Of the thread alone.
  std::unique_ptr<Journal> journal_;
  std::deque<Item> owed_;  // notes that found no room
  std::deque<Closing> closings_;
  std::optional<Error> dead_;
  std::thread thread_;
};

}  // namespace muster::agg
