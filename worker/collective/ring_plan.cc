// worker/collective/ring_plan.cc: the arithmetic of the ring
#include "worker/collective/ring_plan.h"

#include "common/base/check.h"
#include "common/base/slice.h"

namespace muster::worker {

RingPlan::RingPlan(std::size_t elements, int ranks) : elements_(elements), ranks_(ranks) {
  MUSTER_CHECK(ranks >= 1);
}

Chunk RingPlan::chunk(int index) const {
  MUSTER_CHECK(index >= 0 && index < ranks_);
  const Slice slice = slice_of(static_cast<std::int64_t>(elements_), index, ranks_);
  return {.begin = static_cast<std::size_t>(slice.begin), .size = static_cast<std::size_t>(slice.size())};
}

Chunk RingPlan::sent(int rank, int step) const {
  MUSTER_CHECK(step >= 0 && step < steps());
  return chunk((rank - step + 2 * ranks_) % ranks_);
}

Chunk RingPlan::received(int rank, int step) const { return sent((rank + ranks_ - 1) % ranks_, step); }

std::uint64_t RingPlan::bytes_sent(int rank) const {
  if (ranks_ == 1) return 0;
  const std::uint64_t elements = 2 * static_cast<std::uint64_t>(elements_) - chunk((rank + 1) % ranks_).size -
                                 chunk((rank + 2) % ranks_).size;
  return elements * sizeof(float);
}

}  // namespace muster::worker
