// tests/common/codec/contract_test.cc: what every codec promises (codec.h), held against each of them
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/common/codec/support.h"

namespace muster::codec {
namespace {

constexpr std::size_t kSizes[] = {0, 1, 2, 3, 7, 8, 9, 511, 512, 513, 1023, 5000};

class CodecContract : public testing::TestWithParam<NamedCodec> {
 protected:
  std::unique_ptr<Codec> codec_ = codec_of(GetParam().options);
};

TEST_P(CodecContract, FramesAreAsLongAsPromised) {
  for (const std::size_t count : kSizes) {
    const auto values = normal_values(count, 1);
    std::vector<std::byte> out(codec_->max_wire_bytes(count) + 16, std::byte{0xa5});
    const std::size_t bytes = codec_->encode(values, {}, std::span(out).first(out.size() - 16));
    EXPECT_LE(bytes, codec_->max_wire_bytes(count));
    if (const auto exact = codec_->wire_bytes(count)) {
      EXPECT_EQ(bytes, *exact);
      EXPECT_EQ(codec_->max_wire_bytes(count), *exact);
    }
    EXPECT_LE(bytes, 4 * count + 4 * ((count + 511) / 512)) << "never much longer than floats";
    EXPECT_TRUE(std::all_of(out.end() - 16, out.end(), [](std::byte b) { return b == std::byte{0xa5}; }));
    EXPECT_EQ(bytes == 0, count == 0);
  }
}

TEST_P(CodecContract, NoValueIsFurtherOffThanMaxError) {
  for (const double deviation : {1.0, 1e-42, 1e-30, 1e-6, 1e4, 1e30}) {
    for (const std::size_t count : kSizes) {
      const auto values = normal_values(count, 2, deviation);
      double largest = 0;
      for (const float value : values) largest = std::max(largest, std::fabs(static_cast<double>(value)));
      const auto back = decoded(*codec_, frame_of(*codec_, values), count);
      for (std::size_t i = 0; i < count && std::isfinite(codec_->max_error(largest)); ++i)
        ASSERT_LE(std::fabs(static_cast<double>(back[i]) - static_cast<double>(values[i])),
                  codec_->max_error(largest))
            << values[i] << " became " << back[i] << ", deviation " << deviation << ", value " << i << " of "
            << count;
    }
  }
}

TEST_P(CodecContract, SameValuesAndKeyGiveTheSameBytes) {
  const auto values = normal_values(3000, 3);
  const Key key{.seed = 5, .step = 6, .bucket = 7, .first = 512};
  EXPECT_EQ(frame_of(*codec_, values, key), frame_of(*codec_of(GetParam().options), values, key));
}

TEST_P(CodecContract, DecodeAddAddsWhatDecodeGives) {
  for (const std::size_t count : kSizes) {
    const auto frame = frame_of(*codec_, normal_values(count, 4));
    const auto values = decoded(*codec_, frame, count);
    for (const float weight : {1.0F, -1.0F, 0.3F}) {
      auto sums = normal_values(count, 5);
      auto expected = sums;
      for (std::size_t i = 0; i < count; ++i) {
        volatile const float product = weight * values[i];
        expected[i] = expected[i] + product;
      }
      ASSERT_TRUE(codec_->decode_add(frame, weight, sums).has_value());
      EXPECT_EQ(bits_of_all(sums), bits_of_all(expected));
    }
  }
}

class FixedSizeCodec : public CodecContract {};

TEST_P(FixedSizeCodec, PartsOfAFrameAreFrames) {
  constexpr std::size_t kCount = 5000;
  const auto values = normal_values(kCount, 6);
  const auto whole = frame_of(*codec_, values, {.seed = 9, .first = 1024});
  std::vector<std::byte> parts;
  for (std::int64_t part = 0; part < 3; ++part) {
    const Slice slice = group_slice(kCount, part, 3);
    const auto begin = static_cast<std::size_t>(slice.begin);
    append(*codec_, std::span(values).subspan(begin, static_cast<std::size_t>(slice.size())),
           {.seed = 9, .first = 1024 + begin}, parts);
  }
  EXPECT_EQ(parts, whole);
  const auto all = decoded(*codec_, whole, kCount);
  const auto begun = decoded(*codec_, std::span(whole).first(*codec_->wire_bytes(1024)), 1024);
  EXPECT_EQ(bits_of_all(begun), bits_of_all(std::span(all).first(1024)));
}

TEST_P(CodecContract, ZerosStayZeros) {
  for (const std::size_t count : kSizes)
    for (const float value : decoded(*codec_, frame_of(*codec_, std::vector<float>(count)), count))
      ASSERT_EQ(value, 0);
}

TEST_P(CodecContract, NanAndInfinityNeverTurnIntoNumbers) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity(), float_of(0xffffffff), float_of(0x7f800001)}) {
    for (const std::size_t at : {0U, 511U, 512U, 1300U}) {
      auto values = normal_values(1301, 8);
      values[at] = bad;
      EXPECT_FALSE(std::isfinite(decoded(*codec_, frame_of(*codec_, values), values.size())[at]))
          << bad << " " << at;
    }
  }
}

// Every byte of what surrounds the values must be as it was, and so must the values themselves.
void expect_refused(const Codec& codec, std::span<const std::byte> frame, std::size_t count) {
  std::vector<float> values(count, 7);
  const Status status = codec.decode(frame, values);
  ASSERT_FALSE(status.has_value()) << frame.size() << " bytes of " << count << " values";
  EXPECT_EQ(status.error().code, Code::kDataLoss);
  EXPECT_FALSE(codec.decode_add(frame, 1, values).has_value());
  EXPECT_TRUE(std::all_of(values.begin(), values.end(), [](float value) { return value == 7; }));
}

TEST_P(CodecContract, FramesOfAnotherLengthAreRefusedAndTouchNothing) {
  for (const std::size_t count : {1U, 9U, 513U, 700U}) {
    auto frame = frame_of(*codec_, normal_values(count, 9));
    for (std::size_t size = 0; size < frame.size(); ++size)
      expect_refused(*codec_, std::span(frame).first(size), count);
    frame.resize(frame.size() + 1);
    expect_refused(*codec_, frame, count);
  }
  expect_refused(*codec_, std::vector<std::byte>(1), 0);
}

TEST_P(CodecContract, AnyBytesAreDecodedOrRefused) {
  const std::uint64_t seed = hash_key(GetParam().name.size(), 10);
  SCOPED_TRACE(seed);
  Random random(seed);
  int accepted = 0;
  for (int round = 0; round < 4000; ++round) {
    const std::size_t count = random.below(1200);
    auto frame = frame_of(*codec_, normal_values(count, random.next()));
    if (frame.empty()) continue;
    for (std::uint64_t flips = random.below(4); flips > 0; --flips)
      frame[random.below(std::min<std::size_t>(frame.size(), round % 2 == 0 ? 16 : frame.size()))] =
          static_cast<std::byte>(random.next());
    if (round % 8 == 0)
      for (std::byte& byte : frame) byte = static_cast<std::byte>(random.below(round % 16 == 0 ? 4 : 256));
    const std::vector<std::byte> exact(frame);  // no spare capacity: a sanitizer sees a read beyond it
    std::vector<float> values(count, 7);
    if (codec_->decode(exact, values))
      ++accepted;
    else
      EXPECT_TRUE(std::all_of(values.begin(), values.end(), [](float value) { return value == 7; }));
  }
  EXPECT_GT(accepted, 0);
}

INSTANTIATE_TEST_SUITE_P(All, FixedSizeCodec, testing::ValuesIn(dense_codecs()),
                         [](const auto& codec) { return codec.param.name; });
INSTANTIATE_TEST_SUITE_P(All, CodecContract, testing::ValuesIn(all_codecs()),
                         [](const auto& codec) { return codec.param.name; });

}  // namespace
}  // namespace muster::codec
