// learning/held_out.cc: a seeded shuffle, cut in two
#include "learning/held_out.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "common/base/random.h"

namespace muster::learning {

std::size_t held_out_count(std::size_t examples, double fraction) {
  MUSTER_CHECK(fraction >= 0 && fraction < 1);
  if (examples < 2) return 0;
  const auto share = static_cast<std::size_t>(std::llround(fraction * static_cast<double>(examples)));
  return std::clamp<std::size_t>(share, 1, examples - 1);
}

Split split_rows(std::vector<std::int64_t> rows, double fraction, std::uint64_t key) {
  const auto aside = static_cast<std::ptrdiff_t>(held_out_count(rows.size(), fraction));
  Random(key).shuffle(std::span(rows));
  Split split{.rest = {rows.begin() + aside, rows.end()}, .held_out = {rows.begin(), rows.begin() + aside}};
  std::ranges::sort(split.rest);
  std::ranges::sort(split.held_out);
  return split;
}

Examples rows_of(const Examples& data, std::span<const std::int64_t> rows) {
  Examples chosen{.feature_count = data.feature_count,
                  .class_count = data.class_count,
                  .shape = data.shape,
                  .features = {},
                  .labels = {}};
  const auto width = data.feature_count;
  for (const std::int64_t row : rows) {
    MUSTER_CHECK(row >= 0 && row < std::ssize(data.labels));
    chosen.labels.push_back(data.labels[static_cast<std::size_t>(row)]);
    if (data.pixels.empty()) {
      const auto first = data.features.begin() + row * width;
      chosen.features.insert(chosen.features.end(), first, first + width);
    } else {
      const auto first = data.pixels.begin() + row * width;
      chosen.pixels.insert(chosen.pixels.end(), first, first + width);
    }
  }
  return chosen;
}

}  // namespace muster::learning
