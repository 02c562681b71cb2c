#pragma once  // tests/common/codec/support.h: vectors to compress, and the codecs under their names
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/codec/make_codec.h"

namespace muster::codec {

inline std::vector<float> normal_values(std::size_t count, std::uint64_t seed, double deviation = 1) {
  Random random(hash_key(seed, count));
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(deviation * random.normal());
  return values;
}

inline std::unique_ptr<Codec> codec_of(const CodecOptions& options) {
  auto codec = make_codec(options);
  EXPECT_TRUE(codec.has_value());
  return std::move(*codec);
}

inline std::vector<std::byte> frame_of(Codec& codec, std::span<const float> values, const Key& key = {}) {
  std::vector<std::byte> frame;
  append(codec, values, key, frame);
  return frame;
}

inline std::vector<float> decoded(const Codec& codec, std::span<const std::byte> frame, std::size_t count) {
  std::vector<float> values(count, 7);
  const Status status = codec.decode(frame, values);
  EXPECT_TRUE(status.has_value()) << (status ? "" : status.error().message);
  return values;
}

inline std::vector<std::uint32_t> bits_of_all(std::span<const float> values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(bits_of(value));
  return bits;
}

inline double squared_norm(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return sum;
}

struct NamedCodec {
  std::string name;  // letters and digits: part of a test's name
  CodecOptions options;
  friend std::ostream& operator<<(std::ostream& out, const NamedCodec& codec) { return out << codec.name; }
};

inline std::vector<NamedCodec> dense_codecs() {
  std::vector<NamedCodec> all;
  for (const Format format : {Format::kFloat32, Format::kFloat16, Format::kBFloat16, Format::kInt8,
                              Format::kInt4, Format::kInt2, Format::kE3M0, Format::kSign})
    all.push_back({std::string(format_name(format)), {.format = format}});
  return all;
}

inline std::vector<NamedCodec> sparse_codecs() {
  return {{"top1percent", {.top_k_fraction = 0.01}},
          {"top30percent", {.top_k_fraction = 0.3}},
          {"top90percent", {.top_k_fraction = 0.9}},
          {"top5percentint8", {.format = Format::kInt8, .top_k_fraction = 0.05}},
          {"nonzero", {.prune_threshold = 0.0F}},
          {"above2", {.prune_threshold = 2.0F}},
          {"above1bfloat16", {.format = Format::kBFloat16, .prune_threshold = 1.0F}}};
}

inline std::vector<NamedCodec> all_codecs() {
  auto all = dense_codecs();
  for (auto& codec : sparse_codecs()) all.push_back(codec);
  return all;
}

}  // namespace muster::codec
