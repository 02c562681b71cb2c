#pragma once  // common/codec/codec.h: floats to fewer bytes and back; shared by worker, aggregator and device
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/codec/key.h"

namespace muster::codec {

// A frame is what encode() makes of a vector. It holds no count and no name: both ends know the codec and the
// number of values from what they agreed on. Numbers in it are little-endian. A vector with a NaN or
// an infinity never decodes to numbers alone: it stays what it is, or its whole group (512 values) is NaN.
//
// Not a vector but a span takes the bytes, so that frames are made where they are sent from: a registered
// buffer, a window of shared memory, an arena. append() serves those who want a vector.
//
// Threads: the codecs of make_codec.h have no state and may be shared. ErrorFeedback has.
class Codec {
 public:
  virtual ~Codec() = default;

  // Writes the frame of values to the beginning of `out` and returns its bytes. The caller keeps both.
  // out.size() >= max_wire_bytes(values.size()); no overlap. Nothing for no values.
  [[nodiscard]] virtual std::size_t encode(std::span<const float> values, const Key& key,
                                           std::span<std::byte> out) = 0;

  // values: what the frame says, [n] for the n that was encoded. bytes may come from an enemy: every frame is
  // either decoded or refused (kDataLoss), what it claims is never allocated, and after an error `values` is
  // untouched.
  [[nodiscard]] virtual Status decode(std::span<const std::byte> bytes, std::span<float> values) const = 0;

  // sums[i] += weight * value[i]: the product and the sum are rounded one by one, so that a weight of 1 or -1
  // adds exactly what decode() gives. Errors as decode().
  [[nodiscard]] virtual Status decode_add(std::span<const std::byte> bytes, float weight,
                                          std::span<float> sums) const = 0;

  // The bytes of every frame of `count` values. None if they depend on the values. Where there are some, the
  // frame of a vector is the frames of its groups of 512 values, one after another: parts that begin at a
  // multiple of 512 can be encoded by threads side by side, and decoded as they come in.
  [[nodiscard]] virtual std::optional<std::size_t> wire_bytes(std::size_t count) const = 0;
  // The most that a frame of `count` values can take; what wire_bytes() says, if it does.
  [[nodiscard]] virtual std::size_t max_wire_bytes(std::size_t count) const = 0;

  // No decoded value is further than this from its original, if none is larger than `largest` (finite) in
  // magnitude.
  [[nodiscard]] virtual double max_error(double largest) const = 0;
};

// encode() to the end of `out`; returns the bytes of the frame.
inline std::size_t append(Codec& codec, std::span<const float> values, const Key& key,
                          std::vector<std::byte>& out) {
  const std::size_t begin = out.size();
  out.resize(begin + codec.max_wire_bytes(values.size()));
  const std::size_t bytes = codec.encode(values, key, std::span(out).subspan(begin));
  out.resize(begin + bytes);
  return bytes;
}

}  // namespace muster::codec
