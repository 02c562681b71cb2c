// kube/work_queue.cc: the queue of keys, after client-go's
#include "kube/work_queue.h"

#include <algorithm>

namespace muster::kube {
namespace {

constexpr int kDoublingsMax = 30;
constexpr std::size_t kPausesMax = 1024;  // from here on, those that are over are looked for and forgotten

double seconds(Instant from, Instant to) { return std::chrono::duration<double>(to - from).count(); }

}  // namespace

WorkQueue::WorkQueue(Options options) : options_(options) {}

Instant WorkQueue::now() const {
  return options_.clock != nullptr ? options_.clock->now() : std::chrono::steady_clock::now();
}

// A key in work is only marked: done() will queue it.
void WorkQueue::enqueue(const std::string& key) {
  if (shut_down_ || !dirty_.try_emplace(key, now()).second) return;
  if (!processing_.contains(key)) ready_.push_back(key);
  if (options_.observer != nullptr) options_.observer->added(ready_.size());
  changed_.notify_one();
}

void WorkQueue::add(const std::string& key) {
  const MutexLock lock(mutex_);
  enqueue(key);
}

void WorkQueue::add_gathered(const std::string& key) {
  const MutexLock lock(mutex_);
  if (processing_.contains(key)) {
    gathered_.insert(key);
    return;
  }
  const auto paused = paused_until_.find(key);
  if (paused == paused_until_.end() || paused->second <= now()) return enqueue(key);
  enqueue_at(key, paused->second);
}

void WorkQueue::add_after(const std::string& key, std::chrono::milliseconds delay) {
  const MutexLock lock(mutex_);
  if (delay.count() <= 0) return enqueue(key);
  enqueue_at(key, now() + delay);
}

void WorkQueue::enqueue_at(const std::string& key, Instant due) {
  const auto [found, fresh] = due_.try_emplace(key, due);
  if (!fresh) {
    if (found->second <= due) return;
    delayed_.erase({found->second, key});
    found->second = due;
  }
  delayed_.emplace(due, key);
  changed_.notify_one();
}

std::chrono::milliseconds WorkQueue::add_rate_limited(const std::string& key) {
  std::chrono::milliseconds delay{0};
  {
    const MutexLock lock(mutex_);
    const int failures = failures_[key]++;
    const auto doubled =
        options_.first_delay.count() * (std::int64_t{1} << std::min(failures, kDoublingsMax));
    delay = std::min(std::chrono::milliseconds(doubled), options_.max_delay);
    if (options_.observer != nullptr) options_.observer->retried();
  }
  add_after(key, delay);
  return delay;
}

void WorkQueue::forget(const std::string& key) {
  const MutexLock lock(mutex_);
  failures_.erase(key);
}

// What is due becomes ready.
std::optional<Instant> WorkQueue::promote() {
  const Instant present = now();
  while (!delayed_.empty() && delayed_.begin()->first <= present) {
    const std::string key = delayed_.begin()->second;
    delayed_.erase(delayed_.begin());
    due_.erase(key);
    enqueue(key);
  }
  if (delayed_.empty()) return std::nullopt;
  return delayed_.begin()->first;
}

std::optional<Instant> WorkQueue::advance() {
  const MutexLock lock(mutex_);
  return promote();
}

std::optional<std::string> WorkQueue::take(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (true) {
    if (shut_down_ || stop.stop_requested()) return std::nullopt;
    const auto next = promote();
    if (!ready_.empty()) break;
    const auto woken = [&]() MUSTER_REQUIRES(mutex_) {
      return shut_down_ || !ready_.empty() || (!delayed_.empty() && next != delayed_.begin()->first);
    };
    if (next) {
      changed_.wait_until(lock, stop, *next, woken);
    } else {
      changed_.wait(lock, stop, woken);
    }
  }
  std::string key = std::move(ready_.front());
  ready_.pop_front();
  const Instant present = now();
  if (options_.observer != nullptr) options_.observer->started(ready_.size(), seconds(dirty_[key], present));
  dirty_.erase(key);
  processing_[key] = present;
  if (!ready_.empty() || !delayed_.empty()) changed_.notify_one();
  return key;
}

void WorkQueue::done(const std::string& key, std::chrono::milliseconds pause) {
  const MutexLock lock(mutex_);
  const auto found = processing_.find(key);
  if (found == processing_.end()) return;
  if (options_.observer != nullptr) options_.observer->finished(seconds(found->second, now()));
  processing_.erase(found);
  note_pause(key, pause);
  const bool gathered = gathered_.erase(key) > 0;
  if (dirty_.contains(key)) {
    ready_.push_back(key);
    changed_.notify_one();
  } else if (gathered && pause.count() > 0) {
    enqueue_at(key, now() + pause);
  } else if (gathered) {
    enqueue(key);
  }
}

void WorkQueue::note_pause(const std::string& key, std::chrono::milliseconds pause) {
  if (pause.count() <= 0) {
    paused_until_.erase(key);
    return;
  }
  const Instant present = now();
  paused_until_[key] = present + pause;
  if (paused_until_.size() < kPausesMax) return;
  std::erase_if(paused_until_, [present](const auto& entry) { return entry.second <= present; });
}

void WorkQueue::shut_down() {
  const MutexLock lock(mutex_);
  shut_down_ = true;
  changed_.notify_all();
}

std::size_t WorkQueue::depth() const {
  const MutexLock lock(mutex_);
  return ready_.size();
}

int WorkQueue::failures(const std::string& key) const {
  const MutexLock lock(mutex_);
  const auto found = failures_.find(key);
  return found == failures_.end() ? 0 : found->second;
}

WorkQueue::Unfinished WorkQueue::unfinished() const {
  const MutexLock lock(mutex_);
  Unfinished work;
  const Instant present = now();
  for (const auto& [key, since] : processing_) {
    const double age = seconds(since, present);
    work.sum_seconds += age;
    work.longest_seconds = std::max(work.longest_seconds, age);
  }
  return work;
}

}  // namespace muster::kube
