#pragma once  // common/spec/personalization.h: spec.personalization and spec.clients.stream of a
              // FederatedRound
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::spec {

struct FineTune {  // SGD from the round's model on the device's own examples; what it comes to stays there
  std::int64_t epochs = 1;
  double learning_rate = 0.01;
  friend bool operator==(const FineTune&, const FineTune&) = default;
};

// Each client sets a fifth of its examples aside, never trains on them, and tells how good models are there.
struct Personalization {
  std::vector<std::string> personal_layers;  // of the model: each device has its own, which never leave it
  std::optional<FineTune> fine_tune = {};
  friend bool operator==(const Personalization&, const Personalization&) = default;
};

struct LabelShift {  // from this round on label y of what arrives is y + by, modulo the classes
  std::int64_t round = 1;
  std::int64_t by = 1;
  friend bool operator==(const LabelShift&, const LabelShift&) = default;
};

// Devices' data grows and expires: a client's part of the data comes to it bit by bit, and again from its
// beginning when it is used up. In round 1 it has `initial_examples`, each round brings `examples_per_round`,
// and what came more than `expire_after_rounds` rounds ago is gone (0: nothing goes).
struct Stream {
  std::int64_t initial_examples = 20;
  std::int64_t examples_per_round = 5;
  std::int64_t expire_after_rounds = 0;
  std::optional<LabelShift> label_shift = {};
  friend bool operator==(const Stream&, const Stream&) = default;
};

[[nodiscard]] Result<Personalization> personalization_from_json(const Json& json, const std::string& path);
[[nodiscard]] Json to_json(const Personalization& personalization);
[[nodiscard]] Result<Stream> stream_from_json(const Json& json, const std::string& path);
[[nodiscard]] Json to_json(const Stream& stream);

}  // namespace muster::spec
