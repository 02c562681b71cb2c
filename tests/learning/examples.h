#pragma once  // tests/learning/examples.h: small made-up data for the tests of learning/
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "learning/dataset.h"
#include "tests/support/temporary_folder.h"

namespace muster::learning {

// `count` images of `side` x `side`; a label tells which part of the image is bright, so models can learn it.
inline Examples bright_bands(std::int64_t count, std::int64_t side = 12, std::int64_t classes = 4,
                             std::uint64_t seed = 1) {
  Examples examples{.feature_count = side * side,
                    .class_count = classes,
                    .shape = {side, side},
                    .features = {},
                    .labels = {}};
  Random random(seed);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(classes)));
    for (std::int64_t pixel = 0; pixel < side * side; ++pixel) {
      const bool bright = pixel / side * classes / side == label;
      examples.features.push_back(static_cast<float>(0.5 * random.uniform() + (bright ? 0.5 : 0.0)));
    }
    examples.labels.push_back(static_cast<std::int32_t>(label));
  }
  return examples;
}

inline std::vector<std::int64_t> rows_of(std::int64_t begin, std::int64_t end) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(end - begin));
  std::iota(rows.begin(), rows.end(), begin);
  return rows;
}

inline void write_text(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
}

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace muster::learning
