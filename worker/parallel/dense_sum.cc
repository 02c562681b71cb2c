// worker/parallel/dense_sum.cc: all-reduces of float32
#include <algorithm>
#include <map>

#include "worker/parallel/gradient_sum.h"

namespace muster::worker {
namespace {

class DenseSum final : public GradientSum {
 public:
  DenseSum(Collective& collective, const SumOptions& options) : collective_(collective), options_(options) {}

  Result<SyncCost> sum(std::span<float> gradient, std::size_t riders, std::int64_t /*step*/,
                       bool /*dense*/) override {
    SyncCost cost;
    MUSTER_TRY(for_each_bucket(gradient.size() - riders, riders, options_.bucket_elements,
                               [&](std::size_t first, std::size_t size, std::size_t behind) {
                                 cost.payload_bytes += bytes_of(size);
                                 return collective_.all_reduce_sum(gradient.subspan(first, size + behind),
                                                                   Traffic::kPayload,
                                                                   deadline_after(options_.timeout), behind);
                               }));
    return cost;
  }

 private:
  // Schedules are made to be counted: once a size.
  std::uint64_t bytes_of(std::size_t size) {
    auto [known, fresh] = bytes_.try_emplace(size, 0);
    if (fresh) known->second = collective_.all_reduce_bytes(size);
    return known->second;
  }

  Collective& collective_;
  SumOptions options_;
  std::map<std::size_t, std::uint64_t> bytes_;
};

}  // namespace

Status for_each_bucket(std::size_t elements, std::size_t riders, std::size_t bucket_elements,
                       const BucketBody& body) {
  std::size_t first = 0;
  do {
    const std::size_t size = std::min(bucket_elements, elements - first);
    MUSTER_TRY(body(first, size, first + size == elements ? riders : 0));
    first += size;
  } while (first < elements);
  return {};
}

std::unique_ptr<GradientSum> dense_sum(Collective& collective, const SumOptions& options) {
  return std::make_unique<DenseSum>(collective, options);
}

}  // namespace muster::worker
