#pragma once  // common/codec/sparse_frame.h: the bytes of the values that were kept, and of where they stood
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "common/base/result.h"
#include "common/codec/format.h"
#include "common/codec/key.h"
#include "common/codec/rice.h"

namespace muster::codec {

// A frame of k of n values, n < 2^32; for none at all (n = 0) it is empty:
//   [form: 1 byte] [k: uint32] [the k values, rising by position, as a frame of GroupedCodec] [positions]
//   [kDense]       [all n values, as a frame of GroupedCodec]
// The writer takes the form that is shortest: positions of 4 k bytes, of ceil(n / 8), of Rice's code, or
// dense.
enum class SparseForm : std::uint8_t {
  kIndices = 0,  // k times uint32
  kBitmap = 1,   // bit i % 8 of byte i / 8 for value i
  kRice = 2,     // rice.h
  kDense = 3,    // compression would send more: the k values and their positions are no shorter than all n
};
inline constexpr std::size_t kSparseHeaderBytes = 5;

// The most that the frame of `kept` of `count` values takes.
[[nodiscard]] std::size_t max_sparse_bytes(Format format, std::size_t kept, std::size_t count);

// positions: rising. out: max_sparse_bytes() of them. Returns the bytes of the frame.
std::size_t write_sparse(Format format, std::span<const float> values,
                         std::span<const std::uint32_t> positions, const Key& key, std::byte* out);

struct SparseFrame {  // views of the frame's bytes
  SparseForm form = SparseForm::kDense;
  std::size_t kept = 0;
  std::span<const std::byte> values;
  std::span<const std::byte> positions;
};

// Takes any bytes; what it returns can be read without a further error. Errors: kDataLoss.
[[nodiscard]] Result<SparseFrame> parse_sparse(Format format, std::span<const std::byte> bytes,
                                               std::size_t count);

// How a frame was written, for metrics: kDense counts as a fallback. An empty one is kDense.
[[nodiscard]] inline SparseForm sparse_form(std::span<const std::byte> frame) {
  return frame.empty() ? SparseForm::kDense : static_cast<SparseForm>(frame.front());
}

// Calls each(position) for the frame.kept positions, rising and below count. False if the section says
// something else: then some calls may have been made. Takes any bytes.
template <typename Each>
[[nodiscard]] bool for_each_position(const SparseFrame& frame, std::size_t count, Each each) {
  if (frame.form == SparseForm::kRice) return read_rice(frame.positions, frame.kept, count, each);
  const std::byte* const bytes = frame.positions.data();
  std::size_t next = 0;  // the least that the next position can be
  std::size_t seen = 0;
  if (frame.form == SparseForm::kIndices) {
    if (frame.positions.size() != frame.kept * sizeof(std::uint32_t)) return false;
    for (; seen < frame.kept; ++seen) {
      std::uint32_t position = 0;
      std::memcpy(&position, bytes + seen * sizeof(position), sizeof(position));
      if (position < next || position >= count) return false;
      each(std::size_t{position});
      next = std::size_t{position} + 1;
    }
    return true;
  }
  if (frame.positions.size() != (count + 7) / 8) return false;
  for (std::size_t begin = 0; begin < frame.positions.size(); begin += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + begin, std::min(sizeof(word), frame.positions.size() - begin));
    for (; word != 0; word &= word - 1, ++seen) {
      const std::size_t position = begin * 8 + static_cast<std::size_t>(std::countr_zero(word));
      if (position >= count || seen == frame.kept) return false;
      each(position);
    }
  }
  return seen == frame.kept;
}

}  // namespace muster::codec
