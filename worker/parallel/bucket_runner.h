#pragma once  // worker/parallel/bucket_runner.h: sums finished buckets while the rest of a gradient is
              // computed
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "common/base/result.h"
#include "common/platform/mutex.h"
#include "worker/parallel/bucket_plan.h"

namespace muster::worker {

// Has a thread of its own, which sums one bucket after the other, in the order of the plan, as soon as all of
// it is final. The last bucket is never its: what rides behind it is known when the gradient is whole. All
// methods are for one thread, that of the training.
class BucketRunner {
 public:
  using Sum = std::function<Status(std::size_t bucket)>;  // on the thread of the runner
  // `plan`: at least two buckets, which are all of the gradient.
  BucketRunner(std::vector<Bucket> plan, Sum sum);
  ~BucketRunner();  // waits for a sum that is under way
  BucketRunner(const BucketRunner&) = delete;
  BucketRunner& operator=(const BucketRunner&) = delete;

  void begin();                                     // a step's gradient: nothing of it is final
  void ready(std::size_t first, std::size_t size);  // these elements are; each is told once at most
  // The gradient is whole, and what is left of the plan is the caller's to sum: from the bucket that is
  // returned on. Waits for a sum that is under way; the error of the first that failed.
  [[nodiscard]] Result<std::size_t> finish();
  [[nodiscard]] bool is_open() const { return open_; }  // between begin and finish

 private:
  void run();

  std::vector<Bucket> plan_;
  Sum sum_;
  bool open_ = false;
  std::vector<std::size_t> missing_;  // elements of each bucket that are not final
  std::size_t whole_ = 0;             // the first so many buckets are

  Mutex mutex_;
  Condition changed_;
  std::size_t may_sum_ MUSTER_GUARDED_BY(mutex_) = 0;  // the first so many
  std::size_t next_ MUSTER_GUARDED_BY(mutex_) = 0;
  bool busy_ MUSTER_GUARDED_BY(mutex_) = false;
  bool over_ MUSTER_GUARDED_BY(mutex_) = false;
  Status failure_ MUSTER_GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses the others
};

}  // namespace muster::worker
