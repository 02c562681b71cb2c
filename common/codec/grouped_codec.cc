// common/codec/grouped_codec.cc
#include "common/codec/grouped_codec.h"

#include <algorithm>
#include <limits>
#include <string>

#include "common/base/check.h"
#include "common/codec/group_frame.h"
#include "common/codec/kernels.h"

namespace muster::codec {

namespace {

// `error`, unless values above `limit` may become infinite.
double error_below(double limit, double largest, double error) {
  if (largest <= limit) return error;
  return std::numeric_limits<double>::infinity();
}

}  // namespace

std::size_t GroupedCodec::encode(std::span<const float> values, const Key& key, std::span<std::byte> out) {
  const std::size_t bytes = max_wire_bytes(values.size());
  MUSTER_CHECK(out.size() >= bytes && (values.empty() || key.first % kGroupValues == 0));
  encode_groups(format_, values, key, out.data());
  return bytes;
}

Status GroupedCodec::check_size(std::span<const std::byte> bytes, std::size_t count) const {
  const std::size_t expected = max_wire_bytes(count);
  if (bytes.size() == expected) return {};
  return data_loss("a frame of " + std::to_string(count) + " " + std::string(format_name(format_)) +
                   " values has " + std::to_string(bytes.size()) + " bytes, not " + std::to_string(expected));
}

Status GroupedCodec::decode(std::span<const std::byte> bytes, std::span<float> values) const {
  MUSTER_TRY(check_size(bytes, values.size()));
  for (std::size_t first = 0; first < values.size(); first += kGroupValues)
    decode_group(format_, bytes.data() + groups_bytes(format_, first),
                 values.subspan(first, std::min(kGroupValues, values.size() - first)));
  return {};
}

Status GroupedCodec::decode_add(std::span<const std::byte> bytes, float weight, std::span<float> sums) const {
  MUSTER_TRY(check_size(bytes, sums.size()));
  decode_groups(format_, bytes, sums.size(), [&](std::size_t first, std::span<const float> group) {
    kernels::add_weighted(sums.data() + first, group.data(), weight, group.size());
  });
  return {};
}

std::size_t GroupedCodec::max_wire_bytes(std::size_t count) const { return groups_bytes(format_, count); }

std::optional<std::size_t> GroupedCodec::wire_bytes(std::size_t count) const { return max_wire_bytes(count); }

double GroupedCodec::max_error(double largest) const {
  // What the arithmetic in float32 adds: roundings of the scale, and one of the smallest subnormal a level.
  const double stretched = largest * (1 + 0x1p-20);
  const double least = 0x1p-140;
  switch (format_) {
    case Format::kFloat32: return 0;
    case Format::kFloat16: return error_below(65504, largest, std::max(largest * 0x1p-11, 0x1p-25));
    case Format::kBFloat16: return error_below(0x1.fep127, largest, std::max(largest * 0x1p-8, 0x1p-134));
    case Format::kInt8: return stretched / 127 + least;
    case Format::kInt4: return stretched / 7 + least;
    case Format::kInt2: return stretched + least;
    case Format::kE3M0: return stretched / 2 + least;
    case Format::kSign:
      return error_below(0x1.fp118, largest, stretched + least);  // so that their sum is finite
  }
  return std::numeric_limits<double>::infinity();
}

}  // namespace muster::codec
