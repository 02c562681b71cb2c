// tests/common/codec/group_arithmetic_test.cc: the arithmetic of the GPU's kernels, a value and a byte at a
// time on the CPU, gives the bits of the codecs' scalar and vector loops
#include "common/codec/group_arithmetic.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "common/codec/group_frame.h"
#include "common/codec/kernels.h"
#include "tests/common/codec/support.h"

namespace muster::codec {
namespace {

constexpr Format kFormats[] = {Format::kFloat16, Format::kBFloat16, Format::kInt8,
                               Format::kInt4,    Format::kInt2,     Format::kE3M0};

// As encode_kernel of common/codec/cuda/group_kernels.cu goes, a group after the other.
std::vector<std::uint8_t> encoded(Format format, std::span<const float> values, const Key& key) {
  std::vector<std::uint8_t> out(groups_bytes(format, values.size()));
  for (std::size_t first = 0; first < values.size(); first += kGroupValues) {
    const std::size_t size = std::min(kGroupValues, values.size() - first);
    const float* const mine = values.data() + first;
    std::uint8_t* const frame = out.data() + first / kGroupValues * group_bytes(format, kGroupValues);
    if (!format_has_scale(format)) {
      for (std::size_t i = 0; i < size; ++i)
        write_word(frame + 2 * i,
                   format == Format::kFloat16 ? half_of_float(mine[i]) : bfloat16_of_float(mine[i]), 2);
      continue;
    }
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < size; ++i) largest = std::max(largest, magnitude_bits(mine[i]));
    const GroupScale scale = group_scale(format, largest);
    write_word(frame, bits_of(scale.written), 4);
    const std::size_t bytes = group_bytes(format, size) - sizeof(float);
    for (std::size_t at = 0; at < bytes; ++at)
      frame[sizeof(float) + at] = scaled_byte(format, mine, size, scale, key, first, bytes, at);
  }
  return out;
}

// Normal, tiny, huge and special values; now and then a group that is not finite.
std::vector<float> values_of(std::size_t count, Random& random) {
  std::vector<float> values(count);
  const float size = std::ldexp(1.0F, static_cast<int>(random.below(240)) - 120);
  for (float& value : values) value = static_cast<float>(random.normal()) * size;
  if (random.below(8) == 0) values[random.below(count)] = float_of(kInfinityBits);
  if (random.below(8) == 0) values[random.below(count)] = float_of(kNanBits);
  if (random.below(8) == 0) std::ranges::fill(values, -0.0F);
  return values;
}

TEST(GroupArithmetic, GivesTheBitsOfTheCodecsInEveryFormatAndLength) {
  const auto seed = static_cast<std::uint64_t>(std::max(1, testing::UnitTest::GetInstance()->random_seed()));
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  for (const Format format : kFormats) {
    for (const std::size_t count : {1U, 2U, 7U, 63U, 511U, 512U, 513U, 1023U, 1500U}) {
      for (int turn = 0; turn < 12; ++turn) {
        const std::vector<float> values = values_of(count, random);
        const Key key{.seed = random.next(),
                      .step = random.below(1'000'000),
                      .bucket = 3,
                      .first = 512 * random.below(9)};
        std::vector<std::byte> expected(groups_bytes(format, count));
        encode_groups(format, values, key, expected.data());
        const auto bytes = encoded(format, values, key);
        ASSERT_EQ(std::memcmp(bytes.data(), expected.data(), bytes.size()), 0)
            << format_name(format) << " of " << count;
        // As decode_add_kernel goes.
        std::vector<float> sums(count, 0.25F);
        std::vector<float> theirs = sums;
        decode_groups(format, expected, count, [&](std::size_t first, std::span<const float> group) {
          kernels::add_weighted(theirs.data() + first, group.data(), 0.3F, group.size());
          for (std::size_t i = 0; i < group.size(); ++i)
            sums[first + i] +=
                0.3F * value_in_frame(format,
                                      bytes.data() + first / kGroupValues * group_bytes(format, kGroupValues),
                                      group.size(), i);
        });
        ASSERT_EQ(std::memcmp(sums.data(), theirs.data(), count * sizeof(float)), 0)
            << format_name(format) << " of " << count;
      }
    }
  }
}

}  // namespace
}  // namespace muster::codec
