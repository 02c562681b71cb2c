// operator/shell/lanes.cc: batches of pieces, taken in turn by whoever is free
#include "operator/shell/lanes.h"

#include <utility>

#include "common/base/check.h"

namespace muster::op {

Lanes::Lanes(int threads) {
  for (int i = 0; i < threads; ++i)
    threads_.emplace_back([this](const std::stop_token& stop) { serve(stop); });
}

Lanes::~Lanes() {
  for (std::jthread& thread : threads_) thread.request_stop();
}

void Lanes::run(std::size_t count, const std::function<void(std::size_t)>& work) {
  const auto batch = std::make_shared<Batch>(Batch{.work = work, .count = count});
  MutexLock lock(mutex_);
  if (count > 1) {
    waiting_.push_back(batch);
    changed_.notify_all();
  }
  while (batch->next < batch->count) advance(*batch);
  std::erase(waiting_, batch);
  while (batch->ended < batch->count) changed_.wait(lock);
  lock.unlock();
  if (batch->error) std::rethrow_exception(batch->error);
}

void Lanes::serve(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (changed_.wait(lock, stop, [this]() MUSTER_REQUIRES(mutex_) { return !waiting_.empty(); })) {
    const std::shared_ptr<Batch> batch = waiting_.front();
    if (batch->next < batch->count) advance(*batch);
    if (batch->next == batch->count) std::erase(waiting_, batch);
  }
}

void Lanes::advance(Batch& batch) {
  MUSTER_CHECK(batch.next < batch.count);
  const std::size_t piece = batch.next++;
  mutex_.unlock();
  std::exception_ptr error;
  try {
    batch.work(piece);
  } catch (...) {
    error = std::current_exception();
  }
  mutex_.lock();
  if (error && !batch.error) batch.error = std::move(error);
  if (++batch.ended == batch.count) changed_.notify_all();
}

}  // namespace muster::op
