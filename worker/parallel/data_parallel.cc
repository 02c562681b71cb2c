// worker/parallel/data_parallel.cc: weighting, buckets, all-reduce, mean
#include "worker/parallel/data_parallel.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "worker/collective/reduce.h"

namespace muster::worker {
namespace {

// A topology that is tried may take many times as long as the one that is then taken.
constexpr int kSettling = 10;

}  // namespace

DataParallel::DataParallel(Parts parts, std::chrono::milliseconds timeout, std::vector<Bucket> plan,
                           Memory memory)
    : parts_(parts), timeout_(timeout), plan_(std::move(plan)), memory_(memory) {
  if (plan_.size() > 1 && parts_.collective.size() > 1)
    runner_ =
        std::make_unique<BucketRunner>(plan_, [this](std::size_t index) { return sum_early(plan_[index]); });
}

DataParallel::~DataParallel() {
  if (runner_ != nullptr && runner_->is_open()) parts_.collective.abort();  // or its thread would wait on
}

// What is picked is to be the fastest for the largest bucket.
Result<Synchronizer::Ahead> DataParallel::begin(const Beginning& where, std::span<float> parameters) {
  std::size_t largest = plan_.empty() ? parameters.size() : 0;
  for (const Bucket& bucket : plan_) largest = std::max(largest, bucket.size);
  MUSTER_ASSIGN(sums_, parts_.collective.settle(largest + kRiders, where.topology, kSettling * timeout_));
  return Ahead{};
}

void DataParallel::begin_step(std::span<float> gradient, const BatchShare& share) {
  gradient_ = gradient;
  share_ = share;
  cost_ = {};
  not_finite_ = 0;
}

learning::Model::Ready DataParallel::expect(std::span<float> gradient, const BatchShare& share) {
  if (runner_ == nullptr) return {};
  begin_step(gradient, share);
  runner_->begin();
  return [this](std::size_t first, std::size_t size) { runner_->ready(first, size); };
}

Status DataParallel::sum(std::span<float> values, std::size_t riders, const Step& step) {
  MUSTER_ASSIGN(const SyncCost cost, parts_.gradient_sum.sum(values, riders, step.number, step.dense));
  cost_.payload_bytes += cost.payload_bytes;
  cost_.dense_buckets += cost.dense_buckets;
  const std::size_t size = values.size() - riders;
  scale(values.data(), static_cast<float>(1.0 / static_cast<double>(parts_.collective.size())), size);
  return {};
}

// One that is not the last; its sum is dense, whatever the step is.
Status DataParallel::sum_bucket(std::span<float> values) {
  not_finite_ += weigh(values, share_, parts_.collective.size());
  return sum(values, 0, {});
}

// The runner's. The last bucket is the first of the gradient, the others are what is behind it.
Status DataParallel::sum_early(const Bucket& bucket) {
  const std::span<float> values = gradient_.subspan(bucket.first, bucket.size);
  if (memory_ == Memory::kOwn) return sum_bucket(values);
  if (early_.empty())
    early_.resize(gradient_.size() - kRiders - plan_.back().size);  // of programs that tell parts
  const std::span<float> copy = std::span(early_).subspan(bucket.first - plan_.back().size, bucket.size);
  std::ranges::copy(values, copy.begin());
  return sum_bucket(copy);
}

// All others are summed: the place behind it is lent to the riders.
Result<Riders> DataParallel::sum_last(const Bucket& bucket, const Step& step) {
  const std::span<float> values = gradient_.subspan(bucket.first, bucket.size);
  const auto behind = gradient_.subspan(bucket.first + bucket.size).first<kRiders>();
  not_finite_ += weigh(values, share_, parts_.collective.size());
  const Riders mine{.loss = loss_rider(step.loss, step.share),
                    .stop = step.stop,
                    .not_finite = not_finite_,
                    .rows = step.rows};
  Riders::Floats lender{};
  std::ranges::copy(behind, lender.begin());
  std::ranges::copy(mine.floats(), behind.begin());
  MUSTER_TRY(sum(gradient_.subspan(bucket.first, bucket.size + kRiders), kRiders, step));
  const Riders sums = Riders::of(behind);
  std::ranges::copy(lender, behind.begin());
  return sums;
}

Result<StepSums> DataParallel::exchange(std::span<float> gradient, std::span<float> /*parameters*/,
                                        const Step& step) {
  MUSTER_CHECK(gradient.size() >= kRiders);
  const std::span<float> values = gradient.first(gradient.size() - kRiders);
  if (parts_.collective.size() == 1) {  // there is nothing to share, but the next membership may wait
    MUSTER_TRY(parts_.collective.barrier(deadline_after(timeout_)));
    const std::int64_t not_finite = weigh(values, step.share, 1);
    return StepSums{.loss = step.loss,
                    .stop = step.stop,
                    .not_finite = not_finite,
                    .mine_not_finite = not_finite,
                    .rows = step.rows};
  }
  std::size_t next = 0;
  if (runner_ != nullptr && runner_->is_open()) {
    MUSTER_ASSIGN(next, runner_->finish());
    if (memory_ == Memory::kShared && next > 0) {
      const std::size_t first = plan_[next - 1].first;
      std::ranges::copy(std::span(early_).subspan(first - plan_.back().size), values.subspan(first).begin());
    }
  } else {
    begin_step(gradient, step.share);
  }
  for (; next + 1 < plan_.size(); ++next)
    MUSTER_TRY(sum_bucket(values.subspan(plan_[next].first, plan_[next].size)));
  const Bucket whole{.first = 0, .size = values.size()};
  MUSTER_ASSIGN(const Riders sums, sum_last(plan_.empty() ? whole : plan_.back(), step));
  return StepSums{.loss = static_cast<double>(sums.loss) / static_cast<double>(step.share.all),
                  .stop = sums.stop,
                  .cost = cost_,
                  .not_finite = sums.not_finite,
                  .mine_not_finite = not_finite_,
                  .rows = sums.rows};
}

}  // namespace muster::worker
