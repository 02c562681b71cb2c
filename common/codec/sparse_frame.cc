// common/codec/sparse_frame.cc
#include "common/codec/sparse_frame.h"

#include <algorithm>
#include <string>

#include "common/codec/group_frame.h"

namespace muster::codec {

namespace {

struct Layout {
  SparseForm form;
  RicePlan rice;
  std::size_t position_bytes;
};

Layout shortest(std::span<const std::uint32_t> positions, std::size_t count) {
  const RicePlan rice = plan_rice(positions);
  Layout best{SparseForm::kBitmap, rice, (count + 7) / 8};
  if (positions.size_bytes() < best.position_bytes)
    best = {SparseForm::kIndices, rice, positions.size_bytes()};
  if (rice.bytes < best.position_bytes) best = {SparseForm::kRice, rice, rice.bytes};
  return best;
}

void write_positions(const Layout& layout, std::span<const std::uint32_t> positions, std::byte* out) {
  switch (layout.form) {
    case SparseForm::kRice: write_rice(positions, layout.rice, out); return;
    case SparseForm::kIndices:
      if (!positions.empty()) std::memcpy(out, positions.data(), positions.size_bytes());
      return;
    default: break;
  }
  std::fill_n(out, layout.position_bytes, std::byte{0});
  for (const std::uint32_t position : positions)
    out[position / 8] |= static_cast<std::byte>(1U << (position % 8));
}

std::byte* write_values(Format format, std::span<const float> values,
                        std::span<const std::uint32_t> positions, const Key& key, std::byte* out) {
  float group[kGroupValues];
  std::uint64_t number = key.first / kGroupValues;
  for (std::size_t first = 0; first < positions.size(); first += kGroupValues, ++number) {
    const auto part = positions.subspan(first, std::min(kGroupValues, positions.size() - first));
    for (std::size_t i = 0; i < part.size(); ++i) group[i] = values[part[i]];
    encode_group(format, std::span(group, part.size()), key, number, out);
    out += group_bytes(format, part.size());
  }
  return out;
}

std::size_t write_dense(Format format, std::span<const float> values, const Key& key, std::byte* out) {
  *out = static_cast<std::byte>(SparseForm::kDense);
  encode_groups(format, values, key, out + 1);
  return 1 + groups_bytes(format, values.size());
}

Error broken(std::size_t count, const std::string& what) {
  return data_loss("a sparse frame of " + std::to_string(count) + " values " + what);
}

}  // namespace

std::size_t max_sparse_bytes(Format format, std::size_t kept, std::size_t count) {
  if (count == 0) return 0;
  const std::size_t positions = std::min(kept * sizeof(std::uint32_t), (count + 7) / 8);
  return std::min(kSparseHeaderBytes + groups_bytes(format, kept) + positions,
                  1 + groups_bytes(format, count));
}

std::size_t write_sparse(Format format, std::span<const float> values,
                         std::span<const std::uint32_t> positions, const Key& key, std::byte* out) {
  if (values.empty()) return 0;
  const Layout layout = shortest(positions, values.size());
  const std::size_t bytes =
      kSparseHeaderBytes + groups_bytes(format, positions.size()) + layout.position_bytes;
  if (bytes >= 1 + groups_bytes(format, values.size())) return write_dense(format, values, key, out);
  const auto kept = static_cast<std::uint32_t>(positions.size());
  *out = static_cast<std::byte>(layout.form);
  std::memcpy(out + 1, &kept, sizeof(kept));
  std::byte* const section = write_values(format, values, positions, key, out + kSparseHeaderBytes);
  write_positions(layout, positions, section);
  return bytes;
}

Result<SparseFrame> parse_sparse(Format format, std::span<const std::byte> bytes, std::size_t count) {
  SparseFrame frame;
  if (count == 0 && bytes.empty()) return frame;
  if (count == 0 || bytes.empty()) return broken(count, "has " + std::to_string(bytes.size()) + " bytes");
  const auto form = std::to_integer<std::uint8_t>(bytes.front());
  if (form > static_cast<std::uint8_t>(SparseForm::kDense))
    return broken(count, "has the unknown form " + std::to_string(form));
  frame.form = static_cast<SparseForm>(form);
  if (frame.form == SparseForm::kDense) {
    frame.kept = count;
    frame.values = bytes.subspan(1);
    if (frame.values.size() == groups_bytes(format, count)) return frame;
    return broken(count, "is dense and has " + std::to_string(bytes.size()) + " bytes");
  }
  if (bytes.size() < kSparseHeaderBytes)
    return broken(count, "has " + std::to_string(bytes.size()) + " bytes");
  std::uint32_t kept = 0;
  std::memcpy(&kept, bytes.data() + 1, sizeof(kept));
  const auto body = bytes.subspan(kSparseHeaderBytes);
  if (kept > count || groups_bytes(format, kept) > body.size())
    return broken(count, "says that it keeps " + std::to_string(kept) + " of them in " +
                             std::to_string(bytes.size()) + " bytes");
  frame.kept = kept;
  frame.values = body.first(groups_bytes(format, kept));
  frame.positions = body.subspan(frame.values.size());
  if (!for_each_position(frame, count, [](std::size_t) {}))
    return broken(count, "has positions that are not " + std::to_string(kept) + " rising ones");
  return frame;
}

}  // namespace muster::codec
