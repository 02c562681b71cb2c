// tests/worker/program_protocol_test.cc: frames and tensors between worker and program, and a program that is
// alone
#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <set>

#include "common/base/random.h"
#include "common/program/packed_bytes.h"
#include "common/program/protocol.h"
#include "worker/engine/epoch_order.h"
#include "worker/program/alone.h"

namespace muster::program {
namespace {

TEST(ProgramFrame, ComesBackAsItWasWritten) {
  const Frame frame{.kind = Kind::kBatch,
                    .body_bytes = 24,
                    .numbers = {1, -2, 3, 4, 5, 6, 7, std::numeric_limits<std::int64_t>::min()},
                    .reals = {0.5, -1e300}};
  const auto read = decode(encode(frame));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, frame);
}

TEST(ProgramFrame, OfAnotherKindOrWithALongerBodyIsRefused) {
  const Frame good{.kind = Kind::kStop};
  for (const std::size_t at : {0UL, 3UL, 5UL, 6UL, 7UL}) {
    auto bytes = encode(good);
    bytes[at] ^= std::byte{0x40};
    const auto read = decode(bytes);
    ASSERT_FALSE(read) << at;
    EXPECT_EQ(read.error().code, Code::kDataLoss);
  }
  for (const Kind kind : {Kind::kHello, Kind::kTensors, Kind::kStop, Kind::kState, Kind::kBatch}) {
    EXPECT_TRUE(decode(encode({.kind = kind, .body_bytes = body_max(kind)})));
    EXPECT_FALSE(decode(encode({.kind = kind, .body_bytes = body_max(kind) + 1})));
  }
}

TEST(ProgramTensors, ComeBackAsTheyWereWritten) {
  const std::vector<TensorShape> tensors{{"conv1.weight", {8, 1, 3, 3}},
                                         {"scale", {}},
                                         {"none", {0, 4}},
                                         {"seen", {2}, Type::kInt64},
                                         {"last", {}, Type::kBool}};
  const auto read = read_tensors(write_tensors(tensors));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, tensors);
  EXPECT_EQ(words(tensors[0]), "conv1.weight float32 [8, 1, 3, 3]");
}

TEST(ProgramTensors, ThatNoModelHasAreRefusedInWords) {
  struct Case {
    std::vector<TensorShape> tensors;
    const char* says;
  };
  const Case cases[] = {
      {{}, "no parameters"},
      {{{"a", {2}}, {"a", {3}}}, "two tensors are called a"},
      {{{"a", {0}}}, "all empty"},
      {{{"optimizer.momentum", {2}}}, "begin with \"optimizer.\""},
      {{{"__metadata__", {2}}}, "begin with \"__metadata__\""},
      {{{"caf\xE9", {2}}}, "no UTF-8: \"caf?\""},
      {{{"a", {-1}}}, "larger than any model"},
      {{{"a", {1LL << 40, 1LL << 40}}}, "larger than any model"},
      {{{"a", {1LL << 35}}, {"b", {1LL << 35}}, {"c", {1}}}, "tensor c"},
  };
  for (const Case& one : cases) {
    const auto read = read_tensors(write_tensors(one.tensors));
    ASSERT_FALSE(read) << one.says;
    EXPECT_NE(read.error().message.find(one.says), std::string::npos) << read.error().message;
  }
}

TEST(ProgramTensors, CutAnywhereAreNoTensors) {
  const auto bytes = write_tensors({{"conv1.weight", {8, 1, 3, 3}}, {"bias", {8}}});
  for (std::size_t count = 0; count < bytes.size(); ++count)
    EXPECT_FALSE(read_tensors(std::span(bytes).first(count))) << count;
  auto longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(read_tensors(longer));
}

TEST(ProgramState, TravelsAmongFloats) {
  for (const std::size_t size : {0UL, 1UL, 3UL, 4UL, 1000UL}) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 255);
    std::vector<float> floats(floats_for(size));
    pack(bytes, floats);
    const auto read = unpack(floats);
    ASSERT_TRUE(read);
    EXPECT_TRUE(std::ranges::equal(*read, bytes));
    EXPECT_FALSE(unpack(std::span(floats).first(1)));
    if (size > 8) {
      EXPECT_FALSE(unpack(std::span(floats).first(floats.size() - 1)));
    }
  }
}

// What an alone program is asked, in order.
TEST(Alone, GoesThroughEachEpochInTheOrderOfAJobWithTheSameSeed) {
  Alone alone({.batch_size = 4, .epochs = 2, .seed = 9}, 10);
  std::vector<std::int64_t> rows;
  std::int64_t steps = 0;
  for (;;) {
    const Alone::Ask ask = alone.next(false);
    EXPECT_EQ(ask.batch.total_steps, 6);
    if (ask.kind == Kind::kEnd) {
      EXPECT_EQ(ask.exit_code, 0);
      EXPECT_EQ(ask.batch.epoch, 2);
      break;
    }
    ASSERT_EQ(ask.kind, Kind::kBatch);
    EXPECT_EQ(ask.batch.step, steps);
    rows.insert(rows.end(), ask.rows.begin(), ask.rows.end());
    const Alone::Ask step = alone.next(false);
    ASSERT_EQ(step.kind, Kind::kStep);
    EXPECT_EQ(step.batch.step, ++steps);
  }
  EXPECT_EQ(steps, 6);
  std::vector<std::int64_t> expected = worker::epoch_order(9, 0, 10);
  const auto second = worker::epoch_order(9, 1, 10);
  expected.insert(expected.end(), second.begin(), second.end());
  EXPECT_EQ(rows, expected);
}

TEST(Alone, StopsBetweenTwoStepsWhenItIsAsked) {
  Alone alone({.batch_size = 4, .epochs = 2}, 10);
  EXPECT_EQ(alone.next(false).kind, Kind::kBatch);
  EXPECT_EQ(alone.next(true).kind, Kind::kStep);  // the one under way is finished
  const Alone::Ask end = alone.next(true);
  EXPECT_EQ(end.kind, Kind::kEnd);
  EXPECT_EQ(end.exit_code, 143);
}

}  // namespace
}  // namespace muster::program
