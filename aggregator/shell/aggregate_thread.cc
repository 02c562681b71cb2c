// aggregator/shell/aggregate_thread.cc: a queue of jobs and the thread that runs them
#include "aggregator/shell/aggregate_thread.h"

#include <utility>

namespace muster::agg {

AggregateThread::AggregateThread(std::unique_ptr<Strategy> strategy)
    : strategy_(std::move(strategy)), thread_([this] { run(); }) {}

AggregateThread::~AggregateThread() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void AggregateThread::post(Job job) {
  {
    const MutexLock lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void AggregateThread::post_next(Job job) {
  {
    const MutexLock lock(mutex_);
    jobs_.push_front(std::move(job));
  }
  wake_.notify_one();
}

void AggregateThread::run() {
  while (true) {
    Job job;
    {
      MutexLock lock(mutex_);
      wake_.wait(lock, [this]() MUSTER_REQUIRES(mutex_) { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job(*strategy_);
  }
}

}  // namespace muster::agg
