// common/codec/error_feedback.cc
#include "common/codec/error_feedback.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/codec/kernels.h"

namespace muster::codec {

namespace {

// Values and residual of a part stay in the second cache while they are read three times.
constexpr std::size_t kPartValues = 16 * kGroupValues;

}  // namespace

ErrorFeedback::ErrorFeedback(std::unique_ptr<Codec> codec, std::size_t count, std::uint64_t first)
    : codec_(std::move(codec)), first_(first), residual_(count) {
  MUSTER_CHECK(codec_ != nullptr);
}

std::size_t ErrorFeedback::encode(std::span<const float> values, const Key& key, std::span<std::byte> out) {
  MUSTER_CHECK(key.first >= first_ && key.first - first_ + values.size() <= residual_.size());
  const std::span<float> residual = std::span(residual_).subspan(key.first - first_, values.size());
  if (!codec_->wire_bytes(values.size())) return encode_part(values, residual, key, out);
  std::size_t bytes = 0;
  for (std::size_t begin = 0; begin < values.size(); begin += kPartValues) {
    const std::size_t size = std::min(kPartValues, values.size() - begin);
    Key part = key;
    part.first += begin;
    bytes +=
        encode_part(values.subspan(begin, size), residual.subspan(begin, size), part, out.subspan(bytes));
  }
  return bytes;
}

std::size_t ErrorFeedback::encode_part(std::span<const float> values, std::span<float> residual,
                                       const Key& key, std::span<std::byte> out) {
  kernels::add_weighted(residual.data(), values.data(), 1, values.size());
  const std::size_t bytes = codec_->encode(residual, key, out);
  const Status decoded = codec_->decode_add(out.first(bytes), -1, residual);
  MUSTER_CHECK(decoded.has_value());
  kernels::clear_not_finite(residual.data(), residual.size());
  return bytes;
}

void ErrorFeedback::flush(std::span<float> values) {
  MUSTER_CHECK(values.size() == residual_.size());
  kernels::add_weighted(values.data(), residual_.data(), 1, values.size());
  reset();
}

void ErrorFeedback::reset() { std::fill(residual_.begin(), residual_.end(), 0.0F); }

}  // namespace muster::codec
