// common/codec/sparse_codec.cc
#include "common/codec/sparse_codec.h"

#include <limits>

#include "common/base/check.h"
#include "common/codec/group_frame.h"
#include "common/codec/grouped_codec.h"
#include "common/codec/kernels.h"
#include "common/codec/magnitude.h"
#include "common/codec/sparse_frame.h"

namespace muster::codec {

namespace {

std::vector<std::uint32_t> select(const TopK& rule, std::span<const float> values) {
  return largest_positions(values, rule.kept(values.size()));
}

std::vector<std::uint32_t> select(const Prune& rule, std::span<const float> values) {
  return positions_above(values, rule.threshold);
}

// The kept values of a frame, one after another.
class KeptValues {
 public:
  KeptValues(Format format, const SparseFrame& frame) : format_(format), frame_(frame) {}

  float next() {
    const std::size_t in_group = taken_ % kGroupValues;
    if (in_group == 0)
      decode_group(format_, frame_.values.data() + groups_bytes(format_, taken_),
                   std::span(group_, std::min(kGroupValues, frame_.kept - taken_)));
    ++taken_;
    return group_[in_group];
  }

 private:
  Format format_;
  const SparseFrame& frame_;
  std::size_t taken_ = 0;
  float group_[kGroupValues];
};

}  // namespace

SparseCodec::SparseCodec(Selection selection, Format format) : selection_(selection), format_(format) {
  if (const auto* top = std::get_if<TopK>(&selection_)) MUSTER_CHECK(top->fraction > 0 && top->fraction <= 1);
  if (const auto* prune = std::get_if<Prune>(&selection_))
    MUSTER_CHECK(prune->threshold >= 0 && std::isfinite(prune->threshold));
}

std::size_t SparseCodec::encode(std::span<const float> values, const Key& key, std::span<std::byte> out) {
  if (values.empty()) return 0;
  MUSTER_CHECK(out.size() >= max_wire_bytes(values.size()) && key.first % kGroupValues == 0);
  MUSTER_CHECK(values.size() <= std::numeric_limits<std::uint32_t>::max());
  const auto positions = std::visit([&](const auto& rule) { return select(rule, values); }, selection_);
  return write_sparse(format_, values, positions, key, out.data());
}

Status SparseCodec::decode(std::span<const std::byte> bytes, std::span<float> values) const {
  MUSTER_ASSIGN(const SparseFrame frame, parse_sparse(format_, bytes, values.size()));
  if (frame.form == SparseForm::kDense) return GroupedCodec(format_).decode(frame.values, values);
  std::fill(values.begin(), values.end(), 0.0F);
  KeptValues kept(format_, frame);
  (void)for_each_position(frame, values.size(),
                          [&](std::size_t position) { values[position] = kept.next(); });
  return {};
}

Status SparseCodec::decode_add(std::span<const std::byte> bytes, float weight, std::span<float> sums) const {
  MUSTER_ASSIGN(const SparseFrame frame, parse_sparse(format_, bytes, sums.size()));
  if (frame.form == SparseForm::kDense) return GroupedCodec(format_).decode_add(frame.values, weight, sums);
  KeptValues kept(format_, frame);
  (void)for_each_position(frame, sums.size(),
                          [&](std::size_t position) { sums[position] += weight * kept.next(); });
  return {};
}

std::size_t SparseCodec::max_wire_bytes(std::size_t count) const {
  const auto* top = std::get_if<TopK>(&selection_);
  return max_sparse_bytes(format_, top != nullptr ? top->kept(count) : count, count);
}

double SparseCodec::max_error(double largest) const {
  const double kept = GroupedCodec(format_).max_error(largest);
  if (const auto* prune = std::get_if<Prune>(&selection_)) return std::max<double>(prune->threshold, kept);
  return std::max(largest, kept);
}

}  // namespace muster::codec
