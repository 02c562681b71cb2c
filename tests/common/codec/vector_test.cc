// tests/common/codec/vector_test.cc: the bytes that the vector units write are those of a plain loop, written
// here anew and compiled without vectors: the format of grouped_codec.h, value by value
#include <gtest/gtest.h>

#include <cstring>

#include "common/codec/group_frame.h"
#include "common/codec/half.h"
#include "common/codec/levels.h"
#include "tests/common/codec/support.h"

namespace muster::codec {
namespace {

struct Code {
  std::uint32_t bits = 0;
  float value = 0;  // what it decodes to
};

struct Scale {
  float largest = 0;
  float written = 0;  // the mean magnitude for kSign, NaN for a group that is not finite
};

Scale scale_of(Format format, std::span<const float> group) {
  float lanes[16] = {};
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < group.size(); ++i) {
    lanes[i % 16] += std::fabs(group[i]);
    largest = std::max(largest, magnitude_bits(group[i]));
  }
  for (int half = 8; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  const float mean = lanes[0] / static_cast<float>(group.size());
  const float written = format == Format::kSign ? mean : float_of(largest);
  return {float_of(largest), std::isfinite(written) ? written : float_of(kNanBits)};
}

Code code_of_value(Format format, float value, const Scale& scale, std::uint16_t draw) {
  const std::uint32_t sign = std::signbit(value) ? 1 : 0;
  const bool finite = std::isfinite(scale.largest);
  switch (format) {
    case Format::kFloat32: return {bits_of(value), value};
    case Format::kFloat16: return {half_of_float(value), float_of_half(half_of_float(value))};
    case Format::kBFloat16: return {bfloat16_of_float(value), float_of_bfloat16(bfloat16_of_float(value))};
    case Format::kSign: return {sign, sign != 0 ? -scale.written : scale.written};
    case Format::kE3M0: {
      if (!finite) return {0, scale.written};
      const int level = e3m0_level(value, grid_of(scale.largest, 1), draw);
      const float magnitude = level == 0 ? 0 : std::ldexp(1.0F, level - 7) * scale.largest;
      return {sign << 3 | static_cast<std::uint32_t>(level), sign != 0 ? -magnitude : magnitude};
    }
    default: break;
  }
  if (!finite) return {0, scale.written};
  const int bits = format_bits(format);
  const int top = (1 << (bits - 1)) - 1;
  const int level = integer_level(value, grid_of(scale.largest, static_cast<float>(top)), top, draw);
  const float magnitude = static_cast<float>(level) * (scale.largest / static_cast<float>(top));
  return {sign << (bits - 1) | static_cast<std::uint32_t>(level), sign != 0 ? -magnitude : magnitude};
}

// Appends the group to `frame`, and what it decodes to to `values`.
void plain_group(Format format, std::span<const float> group, const Key& key, std::uint64_t first,
                 std::vector<std::byte>& frame, std::vector<float>& values) {
  const Scale scale = scale_of(format, group);
  if (format_has_scale(format)) {
    frame.resize(frame.size() + 4);
    std::memcpy(&frame[frame.size() - 4], &scale.written, 4);
  }
  const auto bits = static_cast<std::size_t>(format_bits(format));
  const std::size_t size = (group.size() * bits + 7) / 8;
  std::vector<unsigned> bytes(size);
  for (std::size_t i = 0; i < group.size(); ++i) {
    const Code code = code_of_value(format, group[i], scale, rounding_draw(key, first + i));
    values.push_back(code.value);
    if (bits < 8) bytes[i % size] |= code.bits << (bits * (i / size));
    for (std::size_t byte = 0; byte < bits / 8; ++byte)
      bytes[i * bits / 8 + byte] = code.bits >> (8 * byte) & 0xff;
  }
  for (const unsigned byte : bytes) frame.push_back(static_cast<std::byte>(byte));
}

std::vector<float> hostile_values(std::size_t count) {
  auto values = normal_values(count, 21);
  Random random(hash_key(22));
  for (std::size_t group = 0; group * 512 < count; ++group) {
    const auto first = static_cast<std::ptrdiff_t>(group * 512);
    const auto size = static_cast<std::size_t>(std::min<std::ptrdiff_t>(512, std::ssize(values) - first));
    const std::span<float> all = std::span(values).subspan(group * 512, size);
    switch (group % 8) {
      case 1:
        for (float& v : all) v *= 0x1p-140F;
        break;
      case 2:
        for (float& v : all) v *= 0x1p125F;
        break;
      case 3:
        for (float& v : all) v = std::ldexp(v, static_cast<int>(random.below(40)) - 20);
        break;
      case 4:
        for (float& v : all) v = 0;
        break;
      case 5: all.back() = INFINITY; break;
      case 6: all.front() = NAN; break;
      case 7:
        for (float& v : all) v = std::nearbyint(v);
        break;
      default: break;
    }
  }
  return values;
}

class Vectors : public testing::TestWithParam<NamedCodec> {};

TEST_P(Vectors, GiveTheBitsOfAPlainLoop) {
  const Format format = GetParam().options.format;
  const auto codec = codec_of(GetParam().options);
  for (const std::size_t count : {1U, 2U, 7U, 8U, 15U, 16U, 17U, 63U, 64U, 65U, 511U, 512U, 513U, 12'345U}) {
    const auto values = hostile_values(count);
    const Key key{.seed = 0xfeed'0000'beef, .step = 1ULL << 33, .bucket = 3, .first = 512 * 11};
    std::vector<std::byte> frame;
    std::vector<float> back;
    for (std::size_t first = 0; first < count; first += 512)
      plain_group(format, std::span(values).subspan(first, std::min<std::size_t>(512, count - first)), key,
                  first, frame, back);
    ASSERT_EQ(frame_of(*codec, values, key), frame) << count;
    const auto decoded_values = decoded(*codec, frame, count);
    for (std::size_t i = 0; i < count; ++i)
      ASSERT_TRUE(bits_of(decoded_values[i]) == bits_of(back[i]) ||
                  (std::isnan(decoded_values[i]) && std::isnan(back[i])))
          << i << ": " << decoded_values[i] << " is not " << back[i];
  }
}

INSTANTIATE_TEST_SUITE_P(All, Vectors, testing::ValuesIn(dense_codecs()),
                         [](const auto& codec) { return codec.param.name; });

}  // namespace
}  // namespace muster::codec
