#pragma once  // aggregator/shell/global_model.h: one version of the model that a federation trains
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "aggregator/round/told.h"

namespace muster::agg {

// Shared by all that read it: downloads, the fold, evaluation, the checkpoint. There are no other copies.
struct GlobalModel {
  std::int64_t round = 0;     // after which it came to be; 0: the initial one
  std::vector<float> values;  // [P]
  // [P] that clients download behind the model (Strategy::broadcast), or null.
  std::shared_ptr<const std::vector<float>> broadcast;
  std::string sha256;                 // of what is downloaded, as little-endian bytes
  std::vector<std::int64_t> counted;  // of each client, as of this model: CountedUpdates::with_sealed
  std::optional<Measured> told{};     // by the clients whose updates made it; with programs of the user's own
  std::vector<float> devices{};       // DeviceReports::kept, as of this model
  [[nodiscard]] std::uint64_t bytes() const { return values.size() * sizeof(float); }
  [[nodiscard]] std::uint64_t download_bytes() const {
    return bytes() + (broadcast == nullptr ? 0 : broadcast->size() * sizeof(float));
  }
  // From `offset` on, at most `most` bytes that lie behind each other in memory. REQUIRES: offset <
  // download_bytes().
  [[nodiscard]] std::span<const std::byte> part(std::uint64_t offset, std::uint64_t most) const;
};

// Costs a pass over the values, for their SHA-256.
[[nodiscard]] std::shared_ptr<const GlobalModel> make_global_model(
    std::int64_t round, std::vector<float> values,
    std::shared_ptr<const std::vector<float>> broadcast = nullptr, std::vector<std::int64_t> counted = {},
    std::optional<Measured> told = std::nullopt, std::vector<float> devices = {});

}  // namespace muster::agg
