#pragma once  // aggregator/shell/global_model.h: one version of the model that a federation trains
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace muster::agg {

// Shared by all that read it: downloads, the fold, evaluation, the checkpoint. There are no other copies.
struct GlobalModel {
  std::int64_t round = 0;     // after which it came to be; 0: the initial one
  std::vector<float> values;  // [P]
  std::string sha256;         // of the values as little-endian bytes
  [[nodiscard]] std::uint64_t bytes() const { return values.size() * sizeof(float); }
};

// Costs a pass over the values, for their SHA-256.
[[nodiscard]] std::shared_ptr<const GlobalModel> make_global_model(std::int64_t round,
                                                                   std::vector<float> values);

}  // namespace muster::agg
