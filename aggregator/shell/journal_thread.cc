// aggregator/shell/journal_thread.cc: batches, one fdatasync each
#include "aggregator/shell/journal_thread.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/platform/log.h"

namespace muster::agg {
namespace {

constexpr std::chrono::seconds kSlowSync{5};  // a disk that is this slow holds every round up

Error no_room() {
  return resource_exhausted(
      "the volume of spec.aggregator.storage is full: what the journal is to note waits for room; give it a "
      "larger one");
}

}  // namespace

JournalThread::JournalThread(std::unique_ptr<Journal> journal, AggregatorMetrics& metrics)
    : metrics_(metrics), journal_(std::move(journal)) {
  wants_file_ = journal_->wants_file();
  metrics_.set_journal(journal_->bytes(), false);
  thread_ = std::thread([this] { run(); });
}

void JournalThread::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void JournalThread::note(JournalRecord record) {
  {
    const MutexLock lock(mutex_);
    queue_.push_back({.record = std::move(record), .start = {}, .values = {}, .done = {}});
  }
  wake_.notify_one();
}

void JournalThread::keep(UpdateKept update, std::span<const float> values, bool beyond, Done done) {
  {
    const MutexLock lock(mutex_);
    queue_.push_back({.record = std::move(update),
                      .start = {},
                      .values = values,
                      .done = std::move(done),
                      .beyond = beyond});
  }
  wake_.notify_one();
}

void JournalThread::close(RoundClosed closed, std::uint64_t next_sequence,
                          const std::function<Resume()>& resume) {
  std::optional<FileStart> start;
  if (wants_file_)
    start = FileStart{.round = closed.committed ? closed.round : closed.round - 1,
                      .next_sequence = next_sequence,
                      .resume = resume()};
  {
    const MutexLock lock(mutex_);
    queue_.push_back({.record = std::move(closed), .start = std::move(start), .values = {}, .done = {}});
  }
  wake_.notify_one();
}

Status JournalThread::sync(std::int64_t round) {
  MutexLock lock(mutex_);
  if (stopped_) return aborted("the journal is stopped");
  const std::uint64_t mine = ++asked_;
  asked_round_ = std::max(asked_round_, round);
  wake_.notify_one();
  changed_.wait(lock, [&]() MUSTER_REQUIRES(mutex_) { return synced_ >= mine || stopped_; });
  return synced_ >= mine ? synced_status_ : Status(aborted("the journal is stopped"));
}

std::string JournalThread::full_text() const {
  const MutexLock lock(mutex_);
  return full_text_;
}

void JournalThread::saved(std::int64_t round) {
  {
    const MutexLock lock(mutex_);
    saved_ = std::max(saved_, round);
  }
  wake_.notify_one();
}

void JournalThread::clear() {
  MutexLock lock(mutex_);
  clear_ = true;
  wake_.notify_one();
  changed_.wait(lock, [this]() MUSTER_REQUIRES(mutex_) { return !clear_; });
}

void JournalThread::run() {
  std::int64_t released = 0;
  while (true) {
    std::deque<Item> batch;
    std::uint64_t asked = 0;
    std::int64_t asked_round = 0;
    std::int64_t saved = 0;
    bool clear = false;
    {
      MutexLock lock(mutex_);
      wake_.wait(lock, [&]() MUSTER_REQUIRES(mutex_) {
        return stopping_ || !queue_.empty() || asked_ > synced_ || saved_ > released || clear_;
      });
      if (stopping_ && queue_.empty() && asked_ == synced_) {
        stopped_ = true;
        changed_.notify_all();
        return;
      }
      batch = std::exchange(queue_, {});
      asked = asked_ > synced_ ? asked_ : 0;
      asked_round = asked_round_;
      saved = saved_;
      clear = clear_;
    }
    if (clear) {
      for (Item& item : batch)
        if (item.done) item.done(aborted("the federation is over"));
      journal_->clear();
      dead_ = aborted("the federation is over");
      batch.clear();
    }
    write(batch);
    Status synced;
    if (asked > 0) synced = sync_up_to(asked_round);
    released = saved;
    release(saved);
    metrics_.set_journal(journal_->bytes(), full_);
    const MutexLock lock(mutex_);
    if (asked > 0) {
      synced_ = asked;
      synced_status_ = synced;
    }
    if (clear) clear_ = false;
    changed_.notify_all();
  }
}

// Of an attempt that came to nothing no update is needed, once the rounds before it are saved.
void JournalThread::release(std::int64_t saved) {
  while (!closings_.empty() && (!closings_.front().committed || closings_.front().round <= saved)) {
    if (!dead_) journal_->release(closings_.front().settled);
    closings_.pop_front();
  }
}

Status JournalThread::append(const Item& item) {
  if (dead_) return *dead_;
  MUSTER_TRY(journal_->append(item.record, item.values, item.beyond));
  if (const auto* closed = std::get_if<RoundClosed>(&item.record))
    closings_.push_back({.round = closed->round, .committed = closed->committed, .settled = closed->settled});
  if (item.start) {  // without room for it the present file goes on
    const auto& start = *item.start;
    if (Status started = journal_->start_file(start.round, start.next_sequence, start.resume);
        !started && started.error().code != Code::kResourceExhausted)
      return started;
  }
  return {};
}

Status JournalThread::sync_up_to(std::int64_t round) {
  if (dead_) return *dead_;
  for (const Item& item : owed_)
    if (const auto* closed = std::get_if<RoundClosed>(&item.record);
        closed != nullptr && closed->round <= round)
      return no_room();
  const auto began = std::chrono::steady_clock::now();
  Status synced = journal_->sync();
  failed(synced);
  if (const auto took = std::chrono::steady_clock::now() - began; took >= kSlowSync)
    spdlog::warn(
        "the disk of spec.aggregator.storage took {:.0f} s to make the journal durable: uploads wait for "
        "that; give it "
        "a faster one",
        std::chrono::duration<double>(took).count());
  return synced;
}

// All but a full disk is for good.
void JournalThread::failed(const Status& status) {
  if (status || status.error().code == Code::kResourceExhausted) return;
  if (!dead_) spdlog::error("{}", status.error().message);
  dead_ = status.error();
}

void JournalThread::write(std::deque<Item>& batch) {
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::pair<Done, Status>> answers;
  std::string full;  // why
  bool kept = false;
  for (; !owed_.empty(); owed_.pop_front()) {
    const Status written = append(owed_.front());
    failed(written);
    if (written || dead_) continue;
    full = written.error().message;
    break;
  }
  for (Item& item : batch) {
    const bool update = item.done != nullptr;
    Status written = owed_.empty() ? append(item) : Status(no_room());
    failed(written);
    if (!written && !dead_ && full.empty()) full = written.error().message;
    kept = kept || (written && update);
    if (update) {
      answers.emplace_back(std::move(item.done), std::move(written));
    } else if (!written && !dead_) {
      owed_.push_back(std::move(item));
    }
  }
  if (kept) {
    const Status durable = sync_up_to(0);
    metrics_.observe_journal_sync(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
    for (auto& [done, status] : answers)
      if (status && !durable) status = durable;
  }
  if (!full.empty() && !full_)
    spdlog::warn("the journal has no room, and updates are sent back until it has: {}", full);
  if (!full.empty()) {
    const MutexLock lock(mutex_);
    full_text_ = full;
  }
  if (!full.empty() || kept) full_ = !full.empty();
  wants_file_ = !dead_ && journal_->wants_file();
  for (auto& [done, status] : answers) done(std::move(status));
}

}  // namespace muster::agg
