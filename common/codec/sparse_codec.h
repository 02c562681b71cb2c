#pragma once  // common/codec/sparse_codec.h: only the values that matter are sent: top-k, magnitude pruning
#include <algorithm>
#include <cmath>
#include <variant>

#include "common/codec/codec.h"
#include "common/codec/format.h"

namespace muster::codec {

// Keeps the ceil(fraction * n) values of largest magnitude; of equal ones those of lower positions.
// Biased: it needs error feedback, with which it converges at the rate of dense SGD (Stich, Cordonnier &
// Jaggi, NeurIPS 2018). Error: the largest value that was left out.
struct TopK {
  double fraction = 1;  // in (0, 1]
  [[nodiscard]] std::size_t kept(std::size_t count) const {
    // Less what the product of, say, 0.07 and 100 is too large by.
    const double exact = fraction * static_cast<double>(count) * (1 - 1e-12);
    return std::min(count, static_cast<std::size_t>(std::ceil(exact)));
  }
};

// Keeps the values of larger magnitude than the threshold; 0 keeps all but zeros, without a loss.
// Error: the threshold.
struct Prune {
  float threshold = 0;  // finite, >= 0
};

using Selection = std::variant<TopK, Prune>;

// Leaves values out, and writes the others in `format`. What was left out decodes as 0, but in a dense frame
// (sparse_frame.h), which leaves out nothing: it is sent when it is shorter, so that no frame is more than a
// byte longer than that of a GroupedCodec. A NaN is larger than all values, and so kept, by TopK as far as k
// goes. Wire: 5 + b + min(4 k, ceil(n / 8), Rice) bytes, b for k values in the format; in float32 4 k. Rice's
// code takes about 7.5 bits a position for one in 64. Exact for a frame only once it is made.
class SparseCodec final : public Codec {
 public:
  SparseCodec(Selection selection, Format format);

  [[nodiscard]] std::size_t encode(std::span<const float> values, const Key& key,
                                   std::span<std::byte> out) override;
  [[nodiscard]] Status decode(std::span<const std::byte> bytes, std::span<float> values) const override;
  [[nodiscard]] Status decode_add(std::span<const std::byte> bytes, float weight,
                                  std::span<float> sums) const override;
  [[nodiscard]] std::optional<std::size_t> wire_bytes(std::size_t) const override { return std::nullopt; }
  [[nodiscard]] std::size_t max_wire_bytes(std::size_t count) const override;
  [[nodiscard]] double max_error(double largest) const override;

 private:
  Selection selection_;
  Format format_;
};

}  // namespace muster::codec
