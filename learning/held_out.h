#pragma once  // learning/held_out.h: examples that are set aside, to measure on them and never to train. Pure
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "learning/dataset.h"

namespace muster::learning {

inline constexpr double kHeldOutShare = 0.2;  // of a client's examples, with spec.personalization

struct Split {  // rows, each part in ascending order
  std::vector<std::int64_t> rest;
  std::vector<std::int64_t> held_out;
};

// How good models are on a client's held-out examples: accuracies, 0..1.
struct HeldOutAccuracies {
  std::uint64_t examples = 0;
  double global = 0;                    // of the model that it downloaded
  std::optional<double> tuned = {};     // of that, fine-tuned on its other examples
  std::optional<double> personal = {};  // of that, with its own personal layers
};

// Of so many examples, how many are set aside.
[[nodiscard]] std::size_t held_out_count(std::size_t examples, double fraction);

// Sets `fraction` of `rows`, rounded, aside: a function of `rows` and `key` alone. Of two rows or more
// neither part is empty; a single one is not set aside.
[[nodiscard]] Split split_rows(std::vector<std::int64_t> rows, double fraction, std::uint64_t key);

// The examples `rows` of `data`, in their order.
[[nodiscard]] Examples rows_of(const Examples& data, std::span<const std::int64_t> rows);

}  // namespace muster::learning
