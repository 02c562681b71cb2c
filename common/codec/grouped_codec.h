#pragma once  // common/codec/grouped_codec.h: every value of a vector, written in one format, group by group
#include "common/codec/codec.h"
#include "common/codec/format.h"

namespace muster::codec {

// A frame is its groups of 512 values, one after another:
//   group of n values = [scale: float32, if the format has one] [codes: ceil(n * bits / 8) bytes]
// Codes lie side by side in bytes as kernels::pack() says; those beyond n are 0, and ignored. The scale is
// the largest magnitude of the group (kSign: the mean), a NaN if a value is not finite (kSign: if their sum
// is not). Wire, exact: ceil(bits * n / 8) + 4 * ceil(n / 512) bytes, without the scales for 16 and 32 bits.
//
// Error: of 8, 4, 2 bits, less than largest / (2^(bits-1) - 1); mean 0 within 2^-17 of that, variance at most
// the square of half of it, and of the whole group at most min(d / s^2, sqrt(d) / s) times its squared norm
// (QSGD, lemma 3.1, for d values and s = 2^(bits-1) - 1 levels). E3M0: less than half of the largest, and
// less than the value itself where that is at least 1/64 of the largest; mean 0 alike. kFloat16 and
// kBFloat16: half.h.
class GroupedCodec final : public Codec {
 public:
  explicit GroupedCodec(Format format) : format_(format) {}

  [[nodiscard]] std::size_t encode(std::span<const float> values, const Key& key,
                                   std::span<std::byte> out) override;
  [[nodiscard]] Status decode(std::span<const std::byte> bytes, std::span<float> values) const override;
  [[nodiscard]] Status decode_add(std::span<const std::byte> bytes, float weight,
                                  std::span<float> sums) const override;
  [[nodiscard]] std::optional<std::size_t> wire_bytes(std::size_t count) const override;
  [[nodiscard]] std::size_t max_wire_bytes(std::size_t count) const override;
  [[nodiscard]] double max_error(double largest) const override;

 private:
  [[nodiscard]] Status check_size(std::span<const std::byte> bytes, std::size_t count) const;

  Format format_;
};

}  // namespace muster::codec
