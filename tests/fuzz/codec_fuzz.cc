// tests/fuzz/codec_fuzz.cc: frames of compressed values. An input is which codec, how many values (two
// bytes), a frame.
#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "common/codec/make_codec.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace muster::codec;  // NOLINT: a program of one file

std::vector<std::unique_ptr<Codec>> all_codecs() {
  std::vector<CodecOptions> options;
  for (const Format format : {Format::kFloat32, Format::kFloat16, Format::kBFloat16, Format::kInt8,
                              Format::kInt4, Format::kInt2, Format::kE3M0, Format::kSign}) {
    options.push_back({.format = format});
    options.push_back({.format = format, .top_k_fraction = 0.1});
    options.push_back({.format = format, .prune_threshold = 0.0F});
  }
  std::vector<std::unique_ptr<Codec>> codecs;
  for (const CodecOptions& option : options) {
    auto codec = make_codec(option);
    MUSTER_CHECK(codec.has_value());
    codecs.push_back(std::move(*codec));
  }
  return codecs;
}

void decode(const Codec& codec, std::span<const std::byte> frame, std::size_t count) {
  const auto untouched = [](const std::vector<float>& values) {
    return std::all_of(values.begin(), values.end(), [](float value) { return value == 7; });
  };
  std::vector<float> values(count, 7);
  std::vector<float> sums(count, 7);
  const bool decoded = codec.decode(frame, values).has_value();
  MUSTER_CHECK(codec.decode_add(frame, 1, sums).has_value() == decoded);
  MUSTER_CHECK(decoded || (untouched(values) && untouched(sums)));
}

// Whatever the values are, their frame is as long as promised and can be decoded.
void encode(Codec& codec, std::span<const float> values) {
  std::vector<std::byte> frame;
  const std::size_t bytes = append(codec, values, {.seed = 1}, frame);
  MUSTER_CHECK(bytes <= codec.max_wire_bytes(values.size()));
  MUSTER_CHECK(codec.wire_bytes(values.size()).value_or(bytes) == bytes);
  std::vector<float> back(values.size());
  MUSTER_CHECK(codec.decode(frame, back).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto kCodecs = all_codecs();
  if (size < 3) return 0;
  Codec& codec = *kCodecs[data[0] % kCodecs.size()];
  const std::size_t count = (data[1] | std::size_t{data[2]} << 8) % 4096;
  const std::span bytes(data + 3, size - 3);
  const std::vector<std::byte> frame(reinterpret_cast<const std::byte*>(bytes.data()),
                                     reinterpret_cast<const std::byte*>(bytes.data()) + bytes.size());
  decode(codec, frame, count);
  std::vector<float> values(frame.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), frame.data(), values.size() * sizeof(float));
  encode(codec, values);
  return 0;
}
