#pragma once  // learning/dataset.h: labelled examples in memory, and where they come from
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/spec/training.h"

namespace muster::learning {

// n examples: features [n, d] row-major float32 (images scaled to 0..1, d = rows * columns), labels [n].
struct Examples {
  std::int64_t feature_count = 0;   // d
  std::int64_t class_count = 0;     // labels are in 0 .. class_count - 1
  std::vector<std::int64_t> shape;  // of one example: {28, 28} for images, {d} otherwise
  std::vector<float> features;
  std::vector<std::int32_t> labels;

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
};

struct Dataset {
  Examples train;
  Examples test;
  // Synthetic data only: train examples [device_begin[i], device_begin[i + 1]) belong to device i.
  std::vector<std::int64_t> device_begin;
};

// Loads the dataset named by `spec`. `seed` is used by csv (split) and synthetic (generation) alone.
// Errors name the file, the fact and the remedy: kNotFound (no such file), kDataLoss (truncated or
// damaged), kInvalidArgument (not of the format). No partial result.
[[nodiscard]] Result<Dataset> load_dataset(const spec::Dataset& spec, std::uint64_t seed);

}  // namespace muster::learning
