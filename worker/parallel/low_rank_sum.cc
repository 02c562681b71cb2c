// worker/parallel/low_rank_sum.cc: the two means that PowerSGD asks for
#include "worker/parallel/low_rank_sum.h"

#include <algorithm>

#include "worker/collective/reduce.h"

namespace muster::worker {
namespace {

std::vector<codec::TensorShape> shapes_of(std::span<const learning::Tensor> tensors) {
  std::vector<codec::TensorShape> shapes;
  for (const learning::Tensor& tensor : tensors) {
    const auto rows = static_cast<std::size_t>(tensor.shape.empty() ? 1 : tensor.shape.front());
    shapes.push_back({.rows = rows, .columns = static_cast<std::size_t>(tensor.size) / rows});
  }
  return shapes;
}

}  // namespace

LowRankSum::LowRankSum(std::size_t rank, Collective& collective, std::span<const learning::Tensor> tensors,
                       const SumOptions& options)
    : collective_(collective),
      power_(shapes_of(tensors), {.rank = rank, .seed = options.seed}),
      dense_(dense_sum(collective, options)) {}

Result<SyncCost> LowRankSum::sum(std::span<float> gradient, std::size_t riders, std::int64_t step,
                                 bool dense) {
  const auto values = gradient.first(gradient.size() - riders);
  if (dense || collective_.size() == 1) {
    add_to(values.data(), power_.residual().data(), values.size());
    power_.reset();
    return dense_->sum(gradient, riders, step, true);
  }
  const float ranks = static_cast<float>(collective_.size());
  const std::span<float> first = power_.project(values, static_cast<std::uint64_t>(step));
  message_.assign(first.begin(), first.end());
  message_.insert(message_.end(), gradient.end() - static_cast<std::ptrdiff_t>(riders), gradient.end());
  MUSTER_ASSIGN(SyncCost cost, dense_->sum(message_, riders, step, true));
  std::copy_n(message_.begin(), first.size(), first.begin());
  scale(first.data(), 1 / ranks, first.size());
  std::copy_n(message_.end() - static_cast<std::ptrdiff_t>(riders), riders,
              gradient.end() - static_cast<std::ptrdiff_t>(riders));
  const std::span<float> second = power_.back_project();
  if (!second.empty()) {
    MUSTER_ASSIGN(const SyncCost more, dense_->sum(second, 0, step, true));
    cost.payload_bytes += more.payload_bytes;
    scale(second.data(), 1 / ranks, second.size());
  }
  power_.reconstruct(values);
  scale(values.data(), ranks, values.size());  // the mean is the caller's
  return cost;
}

}  // namespace muster::worker
