// worker/engine/batches.cc: seeded order and contiguous slices
#include "worker/engine/batches.h"

#include <numeric>

#include "common/base/check.h"
#include "common/base/random.h"

namespace muster::worker {

std::vector<std::int64_t> epoch_order(std::uint64_t seed, std::int64_t epoch, std::int64_t examples) {
  MUSTER_CHECK(epoch >= 0 && examples >= 0);
  std::vector<std::int64_t> order(static_cast<std::size_t>(examples));
  std::iota(order.begin(), order.end(), 0);
  Random(hash_key(seed, static_cast<std::uint64_t>(epoch))).shuffle(std::span(order));
  return order;
}

std::span<const std::int64_t> OwnExamples::take(std::int64_t begin, std::int64_t count) {
  const std::int64_t size = std::ssize(rows_);
  MUSTER_CHECK(size > 0 && begin >= 0);
  taken_.clear();
  for (std::int64_t at = begin; at < begin + count; ++at) {
    if (at / size != ordered_pass_) {
      ordered_pass_ = at / size;
      order_ = epoch_order(seed_, ordered_pass_, size);
    }
    taken_.push_back(rows_[static_cast<std::size_t>(order_[static_cast<std::size_t>(at % size)])]);
  }
  return taken_;
}

learning::Examples cut(const learning::Examples& examples, Slice slice) {
  MUSTER_CHECK(slice.begin >= 0 && slice.begin <= slice.end && slice.end <= examples.size());
  learning::Examples part;
  part.feature_count = examples.feature_count;
  part.class_count = examples.class_count;
  part.shape = examples.shape;
  const std::int64_t width = examples.feature_count;
  if (examples.pixels.empty()) {
    part.features.assign(examples.features.begin() + slice.begin * width,
                         examples.features.begin() + slice.end * width);
  } else {
    part.pixels.assign(examples.pixels.begin() + slice.begin * width,
                       examples.pixels.begin() + slice.end * width);
  }
  part.labels.assign(examples.labels.begin() + slice.begin, examples.labels.begin() + slice.end);
  return part;
}

}  // namespace muster::worker
