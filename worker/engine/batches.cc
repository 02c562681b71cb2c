// worker/engine/batches.cc: seeded order and contiguous slices
#include "worker/engine/batches.h"

#include "common/base/check.h"

namespace muster::worker {

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
