// tests/worker/elastic_test.cc: from which state a membership begins, and that every example counts exactly
// once an epoch, whoever comes and goes
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "common/base/random.h"
#include "tests/worker/counting_model.h"
#include "tests/worker/mesh_support.h"
#include "worker/engine/agreement.h"
#include "worker/engine/train_loop.h"
#include "worker/parallel/data_parallel.h"
#include "worker/parallel/gradient_sum.h"

namespace muster::worker::test {
namespace {

TEST(Agreement, TheLatestStepOfTheLatestMembershipIsTaken) {
  struct Case {
    const char* name;
    std::vector<Standing> standings;
    Choice choice;
  };
  const Case cases[] = {
      {"a first membership: rank 0 reads the checkpoint", {{}, {}, {}}, {.root = 0}},
      {"peers with checkpoints of their own: the latest, and none is the same by chance",
       {{.step = 3}, {.step = 9}, {.step = 9}},
       {.root = 1}},
      {"one worker alone", {{.membership = 4, .step = 9}}, {.root = 0, .all_have_it = true}},
      {"all have completed the same step",
       {{.membership = 1, .step = 7}, {.membership = 1, .step = 7}},
       {.root = 0, .all_have_it = true}},
      {"one completed a step that another did not",
       {{.membership = 1, .step = 7}, {.membership = 1, .step = 8}, {.membership = 1, .step = 8}},
       {.root = 1}},
      {"one joins", {{.membership = 1, .step = 7}, {.membership = 1, .step = 7}, {}}, {.root = 0}},
      {"one joins as rank 0", {{}, {.membership = 1, .step = 7}}, {.root = 1}},
      {"one was away for a membership, and further in the one before",
       {{.membership = 1, .step = 50}, {.membership = 2, .step = 45}},
       {.root = 1}},
  };
  for (const Case& one : cases) EXPECT_EQ(choose(one.standings), one.choice) << one.name;
}

TEST(Agreement, RanksTellEachOtherEvenLargeNumbers) {
  auto group = collectives(memory_mesh(3, 1));
  on_all_ranks(3, [&](int rank) {
    Learnt mine;
    if (rank > 0) {
      mine.membership = 1LL << 40;
      mine.state.emplace().step = (1LL << 45) + rank;
    }
    const auto choice = choose(*group[static_cast<std::size_t>(rank)], mine, soon());
    ASSERT_TRUE(choice) << choice.error().message;
    EXPECT_EQ(*choice, Choice{.root = 2});
  });
}

// One membership of workers with what they have learnt; ends at the end, or when a rank breaks the mesh.
struct Membership {
  std::int64_t number = 1;
  int rank_that_breaks = -1;
  std::int64_t after_steps = 0;
};
// Parameters where it came to the end.
std::optional<std::vector<float>> run(const Membership& membership, std::vector<Learnt>& workers,
                                      const spec::Training& training, const learning::Dataset& data) {
  const int size = static_cast<int>(workers.size());
  auto group = collectives(size == 1 ? std::vector<std::unique_ptr<Mesh>>()
                                     : memory_mesh(size, static_cast<std::uint64_t>(membership.number)));
  std::vector<std::optional<std::vector<float>>> finished(workers.size());
  on_all_ranks(size, [&](int rank) {
    const auto index = static_cast<std::size_t>(rank);
    CountingModel model;
    CountingOptimizer optimizer;
    std::int64_t reports = 0;  // one before the first step
    TrainLoop::Hooks hooks;
    hooks.progress = [&](const Progress&, const History&) {
      if (rank == membership.rank_that_breaks && reports++ == membership.after_steps) group[index]->abort();
    };
    const auto gradient_sum = dense_sum(*group[index], {});
    DataParallel parallel({*group[index], *gradient_sum, optimizer}, std::chrono::seconds(60));
    TrainLoop loop({.collective = *group[index],
                    .model = model,
                    .synchronizer = parallel,
                    .training = training,
                    .data = data},
                   {.membership = membership.number}, hooks);
    auto outcome = loop.run(std::move(workers[index]));
    if (outcome) {
      finished[index] = outcome->state.parameters;
      workers[index] = {.state = std::move(outcome->state), .membership = membership.number};
    } else {
      EXPECT_EQ(outcome.error().code, Code::kAborted) << outcome.error().message;
      workers[index] = loop.learnt();
    }
  });
  for (auto& parameters : finished)
    if (parameters) return parameters;
  return std::nullopt;
}

class Elastic : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, Elastic, testing::Range<std::uint64_t>(1, 6));

TEST_P(Elastic, EveryExampleCountsOnceAnEpochOverAHundredChangesOfMembership) {
  constexpr int kEpochs = 40;
  constexpr int kChanges = 100;
  Random random(GetParam());
  spec::Training training;
  training.batch_size = 3;
  training.epochs = kEpochs;
  const learning::Dataset data = one_hot();
  std::vector<Learnt> workers(3);
  Membership membership;
  std::optional<std::vector<float>> counts;
  for (int change = 0; change < kChanges && !counts; ++change) {
    membership.rank_that_breaks = static_cast<int>(random.below(workers.size()));
    membership.after_steps = static_cast<std::int64_t>(random.below(8));
    counts = run(membership, workers, training, data);
    if (counts) break;
    ++membership.number;
    // Some are lost, but never all; some join, anywhere.
    while (workers.size() > 1 && random.below(2) == 0)
      workers.erase(workers.begin() + static_cast<std::ptrdiff_t>(random.below(workers.size())));
    while (workers.size() < 6 && random.below(2) == 0)
      workers.insert(workers.begin() + static_cast<std::ptrdiff_t>(random.below(workers.size() + 1)),
                     Learnt{});
  }
  membership.rank_that_breaks = -1;
  if (!counts) counts = run(membership, workers, training, data);
  ASSERT_TRUE(counts);
  EXPECT_GT(membership.number, 20) << "the training should last for most of the changes";
  EXPECT_EQ(*counts, std::vector<float>(kExamples, kEpochs));
}

}  // namespace
}  // namespace muster::worker::test
