// worker/program/buckets.cc: final tensors, gathered until a frame is worth it
#include <algorithm>
#include <utility>

#include "worker/program/abi_job.h"

namespace muster::program {

void Buckets::know(const std::vector<TensorShape>& tensors) {
  offsets_.assign(1, 0);
  for (const TensorShape& tensor : tensors) offsets_.push_back(offsets_.back() + elements_of(tensor));
  final_.assign(tensors.size(), false);
}

void Buckets::begin(std::int64_t tell_from) {
  tell_from_ = tell_from;
  std::fill(final_.begin(), final_.end(), false);
  untold_.clear();
  elements_ = 0;
}

Result<std::vector<Range>> Buckets::add(std::int32_t first, std::int32_t count) {
  const auto tensors = static_cast<std::int64_t>(final_.size());
  if (first < 0 || count < 1 || first > tensors - count)
    return invalid_argument("the model has " + std::to_string(tensors) +
                            " tensors, counted from 0; none are " + std::to_string(count) + " from " +
                            std::to_string(first) + " on");
  for (std::int64_t i = first; i < first + count; ++i) {
    if (final_[static_cast<std::size_t>(i)])
      return invalid_argument("tensor " + std::to_string(i) +
                              " was told already; tell it once, when nothing is added to it any more");
    final_[static_cast<std::size_t>(i)] = true;
  }
  if (!are_wanted()) return std::vector<Range>();
  const Range fresh{.first = offsets_[static_cast<std::size_t>(first)],
                    .size = offsets_[static_cast<std::size_t>(first) + static_cast<std::size_t>(count)] -
                            offsets_[static_cast<std::size_t>(first)]};
  elements_ += fresh.size;
  // A backward pass goes from the end to the beginning: most are one range.
  if (!untold_.empty() && fresh.first + fresh.size == untold_.back().first) {
    untold_.back() = {.first = fresh.first, .size = fresh.size + untold_.back().size};
  } else {
    untold_.push_back(fresh);
  }
  if (elements_ < tell_from_) return std::vector<Range>();
  elements_ = 0;
  return std::exchange(untold_, {});
}

}  // namespace muster::program
