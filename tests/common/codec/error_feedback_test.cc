// tests/common/codec/error_feedback_test.cc: nothing is lost, only late; and what that does for convergence
#include "common/codec/error_feedback.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>

#include "tests/common/codec/support.h"

namespace muster::codec {
namespace {

class Feedback : public testing::TestWithParam<NamedCodec> {
 protected:
  ErrorFeedback with_feedback(std::size_t count, std::uint64_t first = 0) const {
    return {codec_of(GetParam().options), count, first};
  }
};

// sum_t decode(C(p_t)) + e_T = sum_t g_t, section 2 of Karimireddy et al.
TEST_P(Feedback, WhatWasSentAndTheResidualAreAllThatCame) {
  constexpr std::size_t kCount = 3000;
  ErrorFeedback codec = with_feedback(kCount);
  std::vector<double> came(kCount);
  std::vector<double> sent(kCount);
  for (std::uint64_t step = 0; step < 50; ++step) {
    const auto values = normal_values(kCount, 40 + step);
    const auto back = decoded(codec, frame_of(codec, values, {.step = step}), kCount);
    for (std::size_t i = 0; i < kCount; ++i) {
      came[i] += static_cast<double>(values[i]);
      sent[i] += static_cast<double>(back[i]);
      ASSERT_NEAR(came[i], sent[i] + static_cast<double>(codec.residual()[i]), 2e-4) << step;
    }
  }
}

TEST_P(Feedback, PartsAreEncodedAtTheirPlaces) {
  constexpr std::size_t kCount = 20'000;
  ErrorFeedback whole = with_feedback(kCount, 1024);
  ErrorFeedback parts = with_feedback(kCount, 1024);
  for (std::uint64_t step = 0; step < 3; ++step) {
    const auto values = normal_values(kCount, 50 + step);
    std::vector<std::byte> frames;
    for (std::int64_t part = 2; part >= 0; --part) {  // in any order
      const Slice slice = group_slice(kCount, part, 3);
      const auto begin = static_cast<std::size_t>(slice.begin);
      append(parts, std::span(values).subspan(begin, static_cast<std::size_t>(slice.size())),
             {.step = step, .first = 1024 + begin}, frames);
    }
    (void)frame_of(whole, values, {.step = step, .first = 1024});
    if (whole.wire_bytes(kCount)) {
      EXPECT_EQ(bits_of_all(whole.residual()), bits_of_all(parts.residual())) << step;
    }
  }
}

TEST_P(Feedback, GoesOnFromACheckpointedResidual) {
  constexpr std::size_t kCount = 2000;
  ErrorFeedback codec = with_feedback(kCount);
  (void)frame_of(codec, normal_values(kCount, 60));
  ErrorFeedback restored = with_feedback(kCount);
  std::copy(codec.residual().begin(), codec.residual().end(), restored.residual().begin());
  const auto values = normal_values(kCount, 61);
  EXPECT_EQ(frame_of(codec, values, {.step = 1}), frame_of(restored, values, {.step = 1}));
}

TEST_P(Feedback, AValueThatIsNotFiniteIsSentOnceAndForgotten) {
  ErrorFeedback codec = with_feedback(1000);
  auto values = normal_values(1000, 62);
  values[3] = INFINITY;
  values[4] = NAN;
  EXPECT_FALSE(std::isfinite(decoded(codec, frame_of(codec, values), 1000)[3]));
  for (const float value : codec.residual()) ASSERT_TRUE(std::isfinite(value));
  values[3] = values[4] = 1;
  for (const float value : decoded(codec, frame_of(codec, values, {.step = 1}), 1000))
    ASSERT_TRUE(std::isfinite(value));
}

TEST_P(Feedback, FlushHandsTheResidualOver) {
  ErrorFeedback codec = with_feedback(700);
  const auto values = normal_values(700, 63);
  const auto back = decoded(codec, frame_of(codec, values), 700);
  auto dense = normal_values(700, 64);
  const auto before = dense;
  codec.flush(dense);
  for (std::size_t i = 0; i < 700; ++i) ASSERT_NEAR(dense[i], before[i] + values[i] - back[i], 1e-5);
  for (const float value : codec.residual()) ASSERT_EQ(value, 0);
}

INSTANTIATE_TEST_SUITE_P(All, Feedback, testing::ValuesIn(all_codecs()),
                         [](const auto& codec) { return codec.param.name; });

TEST(ErrorFeedback, OfTopKSplitsTheValuesBitForBit) {
  ErrorFeedback codec(codec_of({.top_k_fraction = 0.1}), 4000);
  std::vector<float> expected(4000);
  for (std::uint64_t step = 0; step < 20; ++step) {
    const auto values = normal_values(4000, 70 + step);
    for (std::size_t i = 0; i < 4000; ++i) expected[i] += values[i];  // p = g + e
    const auto back = decoded(codec, frame_of(codec, values, {.step = step}), 4000);
    for (std::size_t i = 0; i < 4000; ++i) {
      const float residual = codec.residual()[i];
      ASSERT_TRUE(back[i] == 0 || residual == 0) << "no position in common";
      ASSERT_EQ(bits_of(back[i] + residual), bits_of(expected[i]));
      expected[i] = residual;
    }
  }
}

using Point = std::array<float, 3>;

// Three workers, each with f_w(x) = <a_w, x>^2 + |x|^2 / 4; gradient descent on the mean from (1, 1, 1), each
// worker sending the largest of its three numbers. Returns |x| at the end. Beznosikov, Horvath, Richtarik &
// Safaryan, "On biased compression for distributed learning", JMLR 2023, example 1: without feedback x grows
// without bound.
double distance_after(bool feedback, int steps) {
  constexpr std::array<Point, 3> kWorkers = {Point{-3, 2, 2}, Point{2, -3, 2}, Point{2, 2, -3}};
  std::vector<std::unique_ptr<Codec>> codecs;
  for (std::size_t worker = 0; worker < 3; ++worker) {
    auto codec = codec_of({.top_k_fraction = 0.3});  // one of three
    if (feedback) codec = std::make_unique<ErrorFeedback>(std::move(codec), 3);
    codecs.push_back(std::move(codec));
  }
  Point x{1, 1, 1};
  for (int step = 0; step < steps; ++step) {
    Point mean{};
    for (std::size_t worker = 0; worker < 3; ++worker) {
      const Point& a = kWorkers[worker];
      const float along = a[0] * x[0] + a[1] * x[1] + a[2] * x[2];
      Point gradient{};
      for (std::size_t i = 0; i < 3; ++i) gradient[i] = 2 * along * a[i] + x[i] / 2;
      EXPECT_TRUE(
          codecs[worker]->decode_add(frame_of(*codecs[worker], gradient), 1.0F / 3, mean).has_value());
    }
    for (std::size_t i = 0; i < 3; ++i) x[i] -= 0.01F * mean[i];
  }
  return std::sqrt(squared_norm(x));
}

TEST(ErrorFeedback, ReachesTheOptimumWhereTopKAloneDiverges) {
  EXPECT_GT(distance_after(false, 2000), 1e6);
  EXPECT_LT(distance_after(true, 2000), 1e-3);
}

// Karimireddy et al., ICML 2019, section 3, the second counterexample: f(x) = e |x1 + x2| + |x1 - x2| from
// (1, 1). The signs of its subgradients are +-(1, -1) alone, so that signs never lower x1 + x2, nor f below 2
// e.
TEST(ErrorFeedback, LetsSignsReachWhatSignsAloneNeverDo) {
  const auto value_after = [](bool feedback) {
    std::unique_ptr<Codec> codec = codec_of({.format = Format::kSign});
    if (feedback) codec = std::make_unique<ErrorFeedback>(std::move(codec), 2);
    constexpr float kEpsilon = 0.25F;
    std::array<float, 2> x{1, 1};
    for (int step = 0; step < 4000; ++step) {
      const float sum = x[0] + x[1] >= 0 ? kEpsilon : -kEpsilon;
      const float difference = x[0] - x[1] >= 0 ? 1.0F : -1.0F;
      const std::array<float, 2> gradient{sum + difference, sum - difference};
      const auto back = decoded(*codec, frame_of(*codec, gradient), 2);
      for (std::size_t i = 0; i < 2; ++i) x[i] -= 0.002F * back[i];
    }
    return std::fabs(x[0] + x[1]) * kEpsilon + std::fabs(x[0] - x[1]);
  };
  EXPECT_GT(value_after(false), 0.45F);
  EXPECT_LT(value_after(true), 0.05F);
}

}  // namespace
}  // namespace muster::codec
