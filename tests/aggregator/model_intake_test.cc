// tests/aggregator/model_intake_test.cc: the model of a federation of programs, from clients that agree,
// differ, break off or lie
#include "aggregator/shell/model_intake.h"

#include <gmock/gmock.h>

#include <limits>

#include "aggregator/round/told.h"

namespace muster::agg {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

const std::vector<program::TensorShape> kModel{{"w", {2, 2}, program::Type::kFloat64},
                                               {"n", {}, program::Type::kInt64}};
const std::vector<float> kValues{1, 2, 3, 4, 40};
constexpr std::size_t kChunkMin = 64 << 10;

std::span<const std::byte> bytes_of(const std::vector<float>& values) {
  return std::as_bytes(std::span(values));
}

Status offer(ModelIntake& intake, const std::string& whom, const std::vector<float>& values) {
  MUSTER_ASSIGN(auto offer, intake.begin(whom, program::write_tensors(kModel), bytes_of(values).size()));
  MUSTER_TRY(offer->append(0, bytes_of(values)));
  EXPECT_TRUE(offer->whole());
  return intake.take(std::move(offer));
}

TEST(ModelIntake, TakesTheFirstWholeOfferAndComparesTheOthers) {
  ModelIntake intake(1 << 20);
  const auto wanted = intake.compare("client pod 1", program::write_tensors(kModel));
  ASSERT_TRUE(wanted);
  EXPECT_TRUE(*wanted);
  EXPECT_EQ(intake.wait(milliseconds(0)), std::nullopt);
  ASSERT_TRUE(offer(intake, "client pod 1", kValues));
  const auto model = intake.wait(seconds(20));
  ASSERT_TRUE(model);
  EXPECT_EQ(model->tensors, kModel);
  EXPECT_EQ(model->values, kValues);
  EXPECT_EQ(*intake.compare("client pod 0", program::write_tensors(kModel)), false);
  const auto later = intake.begin("client pod 2", program::write_tensors(kModel), 20);
  ASSERT_TRUE(later) << "it was asked for before the first was whole";
  EXPECT_EQ(*later, nullptr) << "the first one's values hold: others are not wanted";
  auto other = kModel;
  other[1].type = program::Type::kFloat32;
  const auto apart = intake.compare("client pod 3", program::write_tensors(other));
  ASSERT_FALSE(apart);
  EXPECT_EQ(apart.error().code, Code::kInvalidArgument);
  EXPECT_THAT(apart.error().message, HasSubstr("client pod 1 has a model with the hash "));
  EXPECT_THAT(apart.error().message, HasSubstr("parameter 1 is n int64 [] there and n float32 [] here"));
}

TEST(ModelIntake, OneOfferAtATimeAndOneThatBreaksOffLeavesRoomForTheNext) {
  ModelIntake intake(1 << 20);
  const auto tensors = program::write_tensors(kModel);
  auto first = intake.begin("client pod 0", tensors, 20);
  ASSERT_TRUE(first);
  const auto second = intake.begin("client pod 1", tensors, 20);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kResourceExhausted);
  first->reset();
  EXPECT_TRUE(offer(intake, "client pod 1", kValues));
}

TEST(ModelIntake, AnOfferGivesWayToALaterOneOfItsPodAndASlowOneToAnothers) {
  const auto tensors = program::write_tensors(kModel);
  {
    ModelIntake intake(1 << 20);
    auto first = intake.begin("client pod 0", tensors, 20);
    ASSERT_TRUE(first);
    EXPECT_TRUE(offer(intake, "client pod 0", kValues)) << "its connection broke, which nobody saw";
    EXPECT_EQ((*first)->append(0, bytes_of(kValues)).error().code, Code::kResourceExhausted);
    first->reset();
    EXPECT_EQ(intake.wait(milliseconds(0))->values, kValues);
  }
  {
    // What it promises gives it no time: only what has come does.
    ModelIntake intake(std::uint64_t{8} << 30, std::nullopt, milliseconds(-63));  // the time of one chunk
    const auto large = program::write_tensors({{"w", {1 << 30}}});
    auto first = intake.begin("client pod 0", large, std::uint64_t{4} << 30);
    ASSERT_TRUE(first);
    ASSERT_TRUE((*first)->append(0, bytes_of(std::vector<float>(kChunkMin / sizeof(float)))));
    EXPECT_TRUE(intake.begin("client pod 1", large, std::uint64_t{4} << 30));
  }
  ModelIntake intake(1 << 20, std::nullopt, milliseconds(0));
  auto slow = intake.begin("client pod 0", tensors, 20);
  ASSERT_TRUE(slow);
  ASSERT_TRUE((*slow)->append(0, bytes_of(kValues)));
  auto next = intake.begin("client pod 1", tensors, 20);
  ASSERT_TRUE(next);
  const Status gone = intake.take(*std::move(slow));
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::kResourceExhausted);
  ASSERT_TRUE((*next)->append(0, bytes_of(kValues)));
  EXPECT_TRUE(intake.take(*std::move(next)));
}

TEST(ModelIntake, GoesOnWithTheModelOfItsRoundsAlone) {
  const auto given = [](auto tensors) {
    for (auto& tensor : tensors) tensor.type = program::Type::kFloat32;  // the files have no types
    return tensors;
  };
  ModelIntake intake(1 << 20, ModelBefore{.digest = digest_of(kModel), .tensors = given(kModel)});
  auto other = kModel;
  other[0].shape = {2, 3};
  const auto apart = intake.compare("client pod 0", program::write_tensors(other));
  ASSERT_FALSE(apart);
  EXPECT_THAT(apart.error().message, HasSubstr("parameter 0 is w float64 [2, 2] there and w float64 [2, 3]"));
  other = given(kModel);
  const auto types = intake.begin("client pod 0", program::write_tensors(other), 20);
  ASSERT_FALSE(types);
  EXPECT_THAT(types.error().message, HasSubstr("the type of a parameter differs"));
  EXPECT_TRUE(offer(intake, "client pod 1", kValues));
}

TEST(ModelIntake, RefusesWhatIsNoModelInWords) {
  ModelIntake intake(1 << 20);
  const auto tensors = program::write_tensors(kModel);
  EXPECT_FALSE(intake.compare("client pod 0", std::span(tensors).first(5)));
  const auto large = intake.compare("client pod 0", program::write_tensors({{"w", {1 << 20}}}));
  ASSERT_FALSE(large);
  EXPECT_THAT(large.error().message, HasSubstr("has 4 MiB, and this aggregator room for one of 1"));
  EXPECT_FALSE(intake.begin("client pod 0", tensors, 24)) << "more than the model has";
  auto given = intake.begin("client pod 0", tensors, 20);
  ASSERT_TRUE(given);
  EXPECT_FALSE((*given)->append(4, bytes_of(kValues))) << "not the next byte";
  EXPECT_FALSE((*given)->append(0, bytes_of(std::vector<float>(6)))) << "more than there are";
  EXPECT_FALSE((*given)->append(0, {}));
  given->reset();
  for (const float absurd :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 3e38F, -3e38F}) {
    std::vector<float> values = kValues;
    values[4] = absurd;
    const Status taken = offer(intake, "client pod 0", values);
    ASSERT_FALSE(taken) << absurd;
    EXPECT_EQ(taken.error().code, Code::kInvalidArgument);
    EXPECT_THAT(taken.error().message, HasSubstr("the model of client pod 0 begins with values that are not "
                                                 "finite or beyond 1.1e+12, in n int64 []; see how"));
    EXPECT_EQ(intake.wait(milliseconds(0)), std::nullopt);
  }
  std::vector<float> masked = kValues;
  masked[0] = -1e9F;
  EXPECT_TRUE(offer(intake, "client pod 1", masked)) << "a mask's constant, after what was refused";
}

// Each chunk is an allocation: millions of one byte would take many times what they hold.
TEST(ModelIntake, TakesSmallChunksOnlyAtTheEnd) {
  ModelIntake intake(1 << 20);
  const std::vector<float> values((2 * kChunkMin / sizeof(float)) + 1, 0.5F);
  const auto bytes = bytes_of(values);
  const auto tensors = program::write_tensors({{"w", {std::ssize(values)}}});
  auto given = intake.begin("client pod 0", tensors, bytes.size());
  ASSERT_TRUE(given);
  const Status small = (*given)->append(0, bytes.first(kChunkMin - 1));
  ASSERT_FALSE(small);
  EXPECT_EQ(small.error().code, Code::kInvalidArgument);
  EXPECT_THAT(small.error().message, HasSubstr("client pod 0 sends 65535 bytes of its model at once"));
  ASSERT_TRUE((*given)->append(0, bytes.first(kChunkMin)));
  ASSERT_TRUE((*given)->append(kChunkMin, bytes.subspan(kChunkMin, kChunkMin)));
  EXPECT_FALSE((*given)->append(2 * kChunkMin, bytes.subspan(2 * kChunkMin, 1)));
  ASSERT_TRUE((*given)->append(2 * kChunkMin, bytes.subspan(2 * kChunkMin)));
  ASSERT_TRUE((*given)->whole());
  ASSERT_TRUE(intake.take(*std::move(given)));
  EXPECT_EQ(intake.wait(milliseconds(0))->values, values);
}

constexpr double kNotTold = std::numeric_limits<double>::quiet_NaN();

TEST(ToldByClients, AreMediansOfWhatIsANumber) {
  ToldByClients told;
  EXPECT_EQ(told.summary(), std::nullopt);
  told.add(kNotTold, 0.5);
  EXPECT_EQ(told.summary(), std::nullopt) << "no loss, no point of the history";
  told.add(2.0, kNotTold);
  told.add(4.0, 0.9);
  told.add(kNotTold, 7.0);
  told.add(1e308, kNotTold);
  told.add(-std::numeric_limits<double>::infinity(), kNotTold);
  ASSERT_TRUE(told.summary());
  EXPECT_DOUBLE_EQ(told.summary()->loss, 3.0);
  EXPECT_DOUBLE_EQ(*told.summary()->accuracy, 0.7);
}

// One of five tells a model without a mistake, or the largest loss there is.
TEST(ToldByClients, NoMinoritySaysHowGoodTheModelIs) {
  for (const double liar : {0.0, ToldByClients::kLossMax}) {
    ToldByClients told;
    for (const double accuracy : {0.1, 0.2, 0.3, 0.4}) told.add(10 * accuracy, accuracy);
    told.add(liar, 1.0);
    EXPECT_DOUBLE_EQ(*told.summary()->accuracy, 0.3);
    EXPECT_DOUBLE_EQ(told.summary()->loss, liar == 0 ? 2.0 : 3.0);
    told.add(100, 0.5);
    EXPECT_DOUBLE_EQ(*told.summary()->accuracy, 0.35);
  }
}

}  // namespace
}  // namespace muster::agg
