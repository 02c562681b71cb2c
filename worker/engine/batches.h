#pragma once  // worker/engine/batches.h: which examples a rank trains on at which step. Pure
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/slice.h"
#include "learning/dataset.h"
#include "worker/engine/epoch_order.h"

namespace muster::worker {

// The examples of one peer, again and again, each pass in another order: a function of rows and seed alone.
class OwnExamples {
 public:
  OwnExamples(std::vector<std::int64_t> rows, std::uint64_t seed) : rows_(std::move(rows)), seed_(seed) {}
  // The rows from `begin` on, counted from the first of the first pass; a view until the next call.
  [[nodiscard]] std::span<const std::int64_t> take(std::int64_t begin, std::int64_t count);

 private:
  std::vector<std::int64_t> rows_;  // not empty
  std::uint64_t seed_;
  std::int64_t ordered_pass_ = -1;
  std::vector<std::int64_t> order_;  // of ordered_pass_
  std::vector<std::int64_t> taken_;
};

// A copy of the examples [slice.begin, slice.end).
[[nodiscard]] learning::Examples cut(const learning::Examples& examples, Slice slice);

}  // namespace muster::worker
