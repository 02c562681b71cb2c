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
