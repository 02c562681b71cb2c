// tests/cli/plot_test.cc: what cli/plot promises
#include "cli/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace muster::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Axis, PutsRoundNumbersAroundTheValues) {
  const Axis axis = make_axis(0.31, 2.27, 8);
  EXPECT_DOUBLE_EQ(axis.low, 0.0);
  EXPECT_DOUBLE_EQ(axis.high, 2.5);
  EXPECT_DOUBLE_EQ(axis.step, 0.5);
  EXPECT_EQ(axis.decimals, 1);
  EXPECT_EQ(axis.ticks().size(), 6U);
}

TEST(Axis, HoldsAnyRangeWithFewTicks) {
  const unsigned seed = std::random_device()();
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> exponent(-9, 9), unit(-1, 1);
  for (int i = 0; i < 2000; ++i) {
    const double low = unit(random) * std::pow(10, exponent(random));
    const double high = low + std::pow(10, exponent(random)) + std::abs(low) * 1e-6;
    const Axis axis = make_axis(low, high, 8);
    const double slack = axis.step * 1e-6;
    ASSERT_LE(axis.low, low + slack) << "seed " << seed;
    ASSERT_GE(axis.high, high - slack) << "seed " << seed;
    ASSERT_GE(axis.ticks().size(), 2U) << "seed " << seed;
    ASSERT_LE(axis.ticks().size(), 10U) << "seed " << seed << " " << low << " " << high;
  }
}

TEST(Plot, DrawsBothSeriesWithLegendTitleAndAxes) {
  Curve curve{"DistributedJob/ring", "cnn, 4 workers", "step", {}};
  for (int i = 1; i <= 5; ++i)
    curve.points.push_back({i * 100, 2.0 / i, i % 2 == 1 ? std::optional(0.1 * i) : std::nullopt});
  const std::string svg = draw_curve(curve);
  EXPECT_THAT(svg, HasSubstr("DistributedJob/ring"));
  EXPECT_THAT(svg, HasSubstr("cnn, 4 workers"));
  EXPECT_THAT(svg, HasSubstr(">step<"));
  EXPECT_THAT(svg, HasSubstr("loss 0.4000"));
  EXPECT_THAT(svg, HasSubstr("accuracy 50.00%"));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
}

TEST(Plot, SaysSoWhenThereAreNoPoints) {
  EXPECT_THAT(draw_curve({"x", "", "step", {}}), HasSubstr("no points were recorded"));
}

TEST(Plot, LeavesOutValuesThatAreNotFinite) {
  const std::string svg =
      draw_curve({"x", "", "step", {{1, 1.0, {}}, {2, std::nan(""), {}}, {3, INFINITY, {}}, {4, 0.5, {}}}});
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
  EXPECT_THAT(svg, Not(HasSubstr("accuracy")));
}

TEST(Plot, DrawsASinglePointAndAFlatLine) {
  EXPECT_THAT(draw_curve({"x", "", "step", {{7, 1.5, 0.25}}}), Not(HasSubstr("nan")));
  EXPECT_THAT(draw_curve({"x", "", "step", {{1, 0.0, {}}, {2, 0.0, {}}}}), Not(HasSubstr("nan")));
}

TEST(Plot, EscapesTextOfUsers) {
  EXPECT_THAT(draw_curve({"<script>&\"", "", "step", {}}), HasSubstr("&lt;script&gt;&amp;&quot;"));
}

TEST(Plot, ThinsCurvesWithMorePointsThanPixels) {
  Curve curve{"x", "", "step", {}};
  for (int i = 1; i <= 200'000; ++i) curve.points.push_back({i, 1.0 / i, {}});
  const std::string svg = draw_curve(curve);
  EXPECT_LT(svg.size(), 60'000U);
  EXPECT_THAT(svg, HasSubstr("loss 0.0000")) << "the last point is kept";
}

TEST(Curve, ReadsBackTheCsvThatItWrites) {
  const std::vector<CurvePoint> points{{1, 2.5, {}}, {200, 0.4123, 0.8612}, {300, {}, 0.9}};
  const auto read = curve_from_csv(curve_to_csv(points, "round"), "history.csv");
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->size(), 3U);
  EXPECT_EQ(read->at(0).accuracy, std::nullopt);
  EXPECT_DOUBLE_EQ(*read->at(1).loss, 0.4123);
  EXPECT_EQ(read->at(2).loss, std::nullopt);
}

TEST(Curve, NamesTheLineThatHoldsNoNumbers) {
  const auto read = curve_from_csv("at,loss,accuracy\n1,2,\n2,two,\n", "h.csv");
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("h.csv:3"));
  EXPECT_FALSE(curve_from_csv("hello\n", "h.csv"));
  EXPECT_FALSE(curve_from_csv("", "h.csv"));
}

TEST(Curve, DropsMalformedEntriesOfAStatus) {
  const auto points = curve_from_history(
      Json::parse(R"([{"at":1,"loss":2},{"loss":1},5,{"at":"x"},{"at":3,"accuracy":0.5}])"));
  ASSERT_EQ(points.size(), 2U);
  EXPECT_EQ(points[1].at, 3);
  EXPECT_TRUE(curve_from_history(Json("text")).empty());
}

}  // namespace
}  // namespace muster::cli
