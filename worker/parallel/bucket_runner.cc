// worker/parallel/bucket_runner.cc: one thread, one bucket at a time
#include "worker/parallel/bucket_runner.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace muster::worker {

BucketRunner::BucketRunner(std::vector<Bucket> plan, Sum sum)
    : plan_(std::move(plan)), sum_(std::move(sum)), thread_([this] { run(); }) {
  MUSTER_CHECK(plan_.size() >= 2);
}

BucketRunner::~BucketRunner() {
  {
    const MutexLock lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BucketRunner::begin() {
  missing_.clear();
  for (const Bucket& bucket : plan_) missing_.push_back(bucket.size);
  whole_ = 0;
  open_ = true;
  const MutexLock lock(mutex_);
  may_sum_ = next_ = 0;
}

void BucketRunner::ready(std::size_t first, std::size_t size) {
  if (!open_) return;
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    const std::size_t from = std::max(first, plan_[i].first);
    const std::size_t to = std::min(first + size, plan_[i].first + plan_[i].size);
    if (from < to) missing_[i] -= std::min(to - from, missing_[i]);
  }
  const std::size_t before = whole_;
  while (whole_ + 1 < plan_.size() && missing_[whole_] == 0) ++whole_;
  if (whole_ == before) return;
  {
    const MutexLock lock(mutex_);
    may_sum_ = whole_;
  }
  changed_.notify_all();
}

Result<std::size_t> BucketRunner::finish() {
  MUSTER_CHECK(open_);
  open_ = false;
  MutexLock lock(mutex_);
  may_sum_ = 0;
  changed_.wait(lock, [this]() MUSTER_REQUIRES(mutex_) { return !busy_; });
  MUSTER_TRY(failure_);
  return next_;
}

void BucketRunner::run() {
  MutexLock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this]() MUSTER_REQUIRES(mutex_) { return over_ || (failure_ && next_ < may_sum_); });
    if (over_) return;
    busy_ = true;
    const std::size_t bucket = next_++;
    lock.unlock();
    Status summed = sum_(bucket);
    lock.lock();
    busy_ = false;
    if (!summed) failure_ = std::move(summed);
    changed_.notify_all();
  }
}

}  // namespace muster::worker
