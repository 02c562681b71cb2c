#pragma once  // learning/dataset.h: labelled examples in memory, and where they come from
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/spec/training.h"

namespace muster::learning {

// n examples: features [n, d] row-major, labels [n]. Images stay the bytes that their files hold: a quarter
// of the memory, and nothing to convert at the start.
struct Examples {
  std::int64_t feature_count = 0;   // d
  std::int64_t class_count = 0;     // labels are in 0 .. class_count - 1
  std::vector<std::int64_t> shape;  // of one example: {28, 28} for images, {d} otherwise
  std::vector<float> features;      // empty where `pixels` are the features
  std::vector<std::int32_t> labels;
  std::vector<std::uint8_t> pixels = {};  // of images, d = rows * columns; the feature is pixel / 255
  // Instead of all of these: examples that a user's program holds, and that are known by their number alone.
  std::int64_t elsewhere = 0;

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(labels.size()) + elsewhere; }
  // Writes the features of the examples `first` .. first + count - 1 to `to` [count, d].
  void copy_features(std::int64_t first, std::int64_t count, float* to) const;
};

struct Dataset {
  Examples train;
  Examples test;
  // Synthetic data only: train examples [device_begin[i], device_begin[i + 1]) belong to device i.
  std::vector<std::int64_t> device_begin;
  std::vector<std::string> class_names = {};  // of each class, where the data names them (csv)
  std::string digest = {};                    // SHA-256 of all examples, their order and the classes
  std::vector<std::string> notes = {};        // how the files were read, where that is not obvious: for a log
  std::vector<std::string> warnings = {};     // what is probably not meant: for the user
};

// Loads the dataset named by `spec`. `seed` is used by csv (split) and synthetic (generation) alone.
// Errors name the file, the fact and the remedy: kNotFound (no such file), kDataLoss (truncated or
// damaged), kInvalidArgument (not of the format, or all labels are the same). No partial result. Messages
// quote no cell of a file but numbers that are labels, since the path may be of anything: column names only
// where the file has the asked label column.
[[nodiscard]] Result<Dataset> load_dataset(const spec::Dataset& spec, std::uint64_t seed);

}  // namespace muster::learning
