// tests/aggregator/scoring_test.cc: weights by held-out loss: closed forms, copies, liars, and what is
// remembered
#include "aggregator/strategy/scoring.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "aggregator/store/contributions.h"
#include "common/base/random.h"
#include "tests/support/memory_shelf.h"

namespace muster::agg {
namespace {

// L(w) = |w - (1, 2)|^2 / 2.
double bowl(std::span<const float> w) {
  const double x = static_cast<double>(w[0]) - 1;
  const double y = static_cast<double>(w[1]) - 2;
  return (x * x + y * y) / 2;
}

std::unique_ptr<Strategy> made(std::int64_t clients, HeldOutLoss loss = bowl) {
  auto strategy = make_strategy({.name = "Scoring"}, 2, std::make_unique<MemoryShelf>(),
                                {.clients = clients, .held_out_loss = std::move(loss)});
  EXPECT_TRUE(strategy) << (strategy ? "" : strategy.error().message);
  return std::move(*strategy);
}

void take(Strategy& strategy, std::int32_t client, std::vector<float> delta) {
  const Status taken = strategy.take({.client = client, .delta = delta, .examples = 1});
  ASSERT_TRUE(taken) << taken.error().message;
}

// L(0) = 2.5; gains .5, 1.5, -1.5: weights 1/4, 3/4, 0.
TEST(Scoring, WeighsByWhatEachUpdateAloneDoesToTheLoss) {
  const auto strategy = made(3);
  take(*strategy, 0, {1, 0});
  take(*strategy, 1, {0, 1});
  take(*strategy, 2, {-1, 0});
  const auto next = strategy->finish(std::vector<float>{0, 0});
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_NEAR((*next)[0], 0.25, 1e-9);
  EXPECT_NEAR((*next)[1], 0.75, 1e-9);
  const auto records = records_of(strategy->state(), 3);
  ASSERT_EQ(records.size(), 3U);
  EXPECT_NEAR(records[0].gain, 0.5, 1e-9);
  EXPECT_NEAR(records[1].gain, 1.5, 1e-9);
  EXPECT_NEAR(records[2].gain, -1.5, 1e-9);
  EXPECT_NEAR(records[1].weight, 0.75, 1e-9);
  EXPECT_EQ(records[2].harmful, 1);
}

TEST(Scoring, WhereNobodyHelpsTheModelStays) {
  const auto strategy = made(2);
  take(*strategy, 0, {1, 1});
  take(*strategy, 1, {-1, 3});
  const auto next = strategy->finish(std::vector<float>{1, 2});
  ASSERT_TRUE(next);
  EXPECT_EQ(*next, (std::vector<float>{1, 2}));
}

TEST(Scoring, OfTwoThatAreAlikeTheLaterCountsNothing) {
  const auto strategy = made(3);
  take(*strategy, 2, {0, 1});
  take(*strategy, 0, {0.1F, 2});  // cosine .99875, and better
  take(*strategy, 1, {1, 0});
  const auto next = strategy->finish(std::vector<float>{0, 0});
  ASSERT_TRUE(next);
  EXPECT_NEAR((*next)[0], 0.25, 1e-6);
  EXPECT_NEAR((*next)[1], 0.75, 1e-6);
  const auto records = records_of(strategy->state(), 3);
  EXPECT_EQ(records[0].copies, 1);
  EXPECT_EQ(records[0].weight, 0);
  EXPECT_EQ(records[2].copies, 0);
}

TEST(Scoring, ACosineIsComparedOverAllParameters) {  // more than a block of them, and a rest
  constexpr std::size_t kParameters = 5003;
  std::vector<double> rows(4 * kParameters, 1.0);
  for (std::size_t i = 0; i < kParameters; ++i) {
    rows[kParameters + i] = i < kParameters / 2 ? 1.0 : -1.0;  // at a right angle to the first
    rows[2 * kParameters + i] = -3.0;                          // against it
    rows[3 * kParameters + i] = i % 100 < 2 ? 0.0 : 0.5;       // cosine sqrt(.98) = .98995
  }
  EXPECT_EQ(copies_among<double>(rows, 4), (std::vector<bool>{false, false, false, false}));
  for (std::size_t i = 0; i < kParameters; ++i)
    rows[3 * kParameters + i] = i % 100 < 1 ? 0.0 : 0.5;  // .99499
  EXPECT_EQ(copies_among<double>(rows, 4), (std::vector<bool>{false, false, false, true}));
  const std::vector<double> zeros(6);
  EXPECT_EQ(copies_among<double>(zeros, 3), (std::vector<bool>{false, false, false}));
}

TEST(Scoring, NoNumberAndNoLimitOfHarm) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(scored_weights(std::array{kNan, -kInfinity, 0.0, 2.0}, {false, false, false, false}),
            (std::vector<double>{0, 0, 0, 1}));
  const auto strategy =
      made(1, [](std::span<const float> w) { return w[0] > 10 ? kNan : static_cast<double>(w[0]) + 20; });
  take(*strategy, 0, {11, 0});
  const auto next = strategy->finish(std::vector<float>{0, 0});
  ASSERT_TRUE(next);
  EXPECT_EQ(*next, (std::vector<float>{0, 0}));
  EXPECT_EQ(records_of(strategy->state(), 1)[0].gain, -kHarmMax);
}

// Nine honest clients step towards the valley, each with noise of its own; one sends the opposite, one a
// copy.
TEST(Scoring, SaysWhomToThankAndWhomToSuspect) {
  constexpr std::uint64_t kSeed = 3;
  RecordProperty("seed", static_cast<int>(kSeed));
  Random random(kSeed);
  const auto strategy = made(11);
  std::vector<float> model{-4, 9};
  for (int round = 0; round < 10; ++round) {
    std::vector<float> copied;
    for (std::int32_t client = 0; client < 11; ++client) {
      std::vector<float> delta{0.3F * (1 - model[0]) + 0.3F * static_cast<float>(random.normal()),
                               0.3F * (2 - model[1]) + 0.3F * static_cast<float>(random.normal())};
      if (client == 4) delta = {-2 * (1 - model[0]), -2 * (2 - model[1])};
      if (client == 5) copied = delta;
      if (client == 9) delta = copied;
      take(*strategy, client, delta);
    }
    auto next = strategy->finish(model);
    ASSERT_TRUE(next);
    EXPECT_LE(bowl(*next), bowl(model));
    model = std::move(*next);
  }
  EXPECT_LT(bowl(model), 0.5);
  const auto records = records_of(strategy->state(), 11);
  const Ends ends = ends_of(records, 3);
  EXPECT_EQ(ends.bottom[0].client, 4);
  EXPECT_EQ(ends.bottom[0].harmful, 10);
  EXPECT_EQ(records[9].copies, 10);
  EXPECT_EQ(records[9].weight, 0);
  double weight = 0;
  for (const ClientRecord& record : records) weight += record.weight;
  EXPECT_GT(weight, 3);
  EXPECT_LT(weight, 10 + 1e-5);  // at most one a round
}

TEST(Scoring, GoesOnFromItsStateWithTheSameBits) {
  const auto first = made(3);
  take(*first, 1, {1, 0});
  auto model = first->finish(std::vector<float>{0, 0});
  ASSERT_TRUE(model);
  const auto second = made(3);
  std::vector<learning::OptimizerState::Slot> kept;
  for (const auto& slot : first->state())
    kept.push_back({slot.name, {slot.values.begin(), slot.values.end()}});
  EXPECT_TRUE(second->restore(kept));
  for (Strategy* strategy : {first.get(), second.get()}) {
    take(*strategy, 2, {0, 1});
    take(*strategy, 1, {0.25F, 1});
    ASSERT_TRUE(strategy->finish(*model));
  }
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const auto a = first->state()[i].values;
    const auto b = second->state()[i].values;
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << kept[i].name;
  }
  kept.pop_back();
  EXPECT_EQ(made(3)->restore(kept).error().code, Code::kFailedPrecondition);
  EXPECT_FALSE(made(4)->restore({}));
}

TEST(Scoring, NeedsDataThatIsTheAggregators) {
  const auto strategy = make_strategy({.name = "Scoring"}, 2, std::make_unique<MemoryShelf>());
  ASSERT_FALSE(strategy);
  EXPECT_NE(strategy.error().message.find("choose another"), std::string::npos);
}

TEST(Contributions, AreATableAndADrawing) {
  const std::vector<ClientRecord> records{
      {.client = 3, .gain = 1.5, .weight = 2, .updates = 4},
      {.client = 7, .gain = -0.25, .weight = 0, .updates = 2, .harmful = 2, .copies = 1}};
  EXPECT_EQ(csv_of(records), "client,gain,weight,updates,harmful,copies\n3,1.5,2,4,0,0\n7,-0.25,0,2,2,1\n");
  const std::string svg = drawing_of(records, 12);
  EXPECT_TRUE(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
  for (const char* part : {"after round 12", "client 3", "+1.5, 4 updates", "2 harmful, 1 copied", "#e03131"})
    EXPECT_NE(svg.find(part), std::string::npos) << part;
  EXPECT_NE(drawing_of({}, 1).find("of 0 clients"), std::string::npos);
  std::vector<ClientRecord> many(50);
  for (std::int32_t i = 0; i < 50; ++i) many[static_cast<std::size_t>(i)] = {.client = i, .gain = 1.0 * i};
  const Ends ends = ends_of(many, 5);
  EXPECT_EQ(ends.top[0].client, 49);
  EXPECT_EQ(ends.bottom[0].client, 0);
  EXPECT_EQ(ends_of({many[0], many[1]}, 5).bottom.size(), 0U);
}

}  // namespace
}  // namespace muster::agg
