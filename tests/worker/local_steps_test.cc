// tests/worker/local_steps_test.cc: windows of local steps: the outer step, bytes, checkpoints, and what a
// lost rank leaves of them
#include "worker/parallel/local_steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/random.h"
#include "tests/worker/counting_model.h"
#include "tests/worker/mesh_support.h"
#include "tests/worker/quadratic_model.h"
#include "tests/worker/small_job.h"
#include "worker/engine/train_loop.h"
#include "worker/parallel/gradient_sum.h"

namespace muster::worker::test {
namespace {

using learning::OuterRule;

struct Job {
  int size = 3;
  std::int64_t steps = 4;
  learning::OuterOptions outer{.rule = OuterRule::kNesterov, .learning_rate = 0.7, .momentum = 0.9};
  spec::Training training{};
  learning::Dataset data{};
  spec::Compression compression{};
  std::int64_t membership = 1;
  int rank_that_breaks = -1;
  std::int64_t after_reports = 0;
};

struct RankResult {
  Learnt learnt;
  bool finished = false;
  std::vector<Progress> progress;
  std::vector<learning::TrainingState> saved;
};

// Each rank brings its part of `brought`.
template <typename Model, typename Optimizer>
std::vector<RankResult> run(const Job& job, std::vector<Learnt> brought, const Model& make_model,
                            const Optimizer& make_optimizer) {
  auto group = collectives(job.size == 1 ? std::vector<std::unique_ptr<Mesh>>()
                                         : memory_mesh(job.size, static_cast<std::uint64_t>(job.membership)),
                           job.compression.by_codec() ? Topology::kDirect : Topology::kRing);
  std::vector<RankResult> results(static_cast<std::size_t>(job.size));
  brought.resize(results.size());
  on_all_ranks(job.size, [&](int rank) {
    const auto index = static_cast<std::size_t>(rank);
    RankResult& result = results[index];
    Collective& collective = *group[index];
    const auto model = make_model();
    const auto optimizer = make_optimizer();
    const auto sum = make_gradient_sum(job.compression, collective, model->tensors(), {});
    ASSERT_TRUE(sum) << sum.error().message;
    LocalSteps local({collective, **sum, *optimizer},
                     {.steps = job.steps,
                      .parameters = static_cast<std::size_t>(model->parameter_count()),
                      .outer = job.outer});
    TrainLoop::Hooks hooks;
    hooks.now = [] { return Instant{}; };
    hooks.progress = [&](const Progress& progress, const History&) {
      result.progress.push_back(progress);
      if (rank == job.rank_that_breaks && std::ssize(result.progress) > job.after_reports) collective.abort();
    };
    CheckpointWriter writer([&](const learning::TrainingState& state) {
      result.saved.push_back(state);
      return Status();
    });
    TrainLoop loop({.collective = collective,
                    .model = *model,
                    .synchronizer = local,
                    .training = job.training,
                    .data = job.data,
                    .local = &local,
                    .writer = rank == 0 ? &writer : nullptr},
                   {.membership = job.membership, .checkpoint_patience = std::chrono::seconds(30)}, hooks);
    auto outcome = loop.run(std::move(brought[index]));
    result.finished = outcome.has_value();
    if (outcome) {
      result.learnt = {.state = std::move(outcome->state), .membership = job.membership};
    } else {
      result.learnt = loop.learnt();
      if (outcome.error().code != Code::kAborted) collective.leave(unavailable("failed"));
    }
  });
  return results;
}

std::vector<RankResult> run(const Job& job, std::vector<Learnt> brought = {}) {
  return run(
      job, std::move(brought), [] { return std::make_unique<QuadraticModel>(kParameters); },
      [&] { return learning::make_optimizer(job.training.optimizer, kParameters); });
}

std::vector<float> parameters_of(const RankResult& result) { return result.learnt.state->parameters; }

// The same by the definition, rank after rank.
std::vector<float> by_hand(const Job& job) {
  const auto ranks = static_cast<std::size_t>(job.size);
  QuadraticModel model(kParameters);
  std::vector<float> global = model.initial_parameters(static_cast<std::uint64_t>(job.training.seed));
  auto state = learning::initial_outer_state<float>(job.outer, global.size());
  std::vector<std::unique_ptr<learning::Optimizer>> inner;
  for (std::size_t rank = 0; rank < ranks; ++rank)
    inner.push_back(learning::make_optimizer(job.training.optimizer, kParameters));
  const std::int64_t examples = job.data.train.size();
  const std::int64_t batch = job.training.batch_size * job.size;
  std::vector<float> gradient(global.size());
  for (std::int64_t epoch = 0; epoch < job.training.epochs; ++epoch) {
    const auto order = epoch_order(static_cast<std::uint64_t>(job.training.seed), epoch, examples);
    for (std::int64_t begin = 0; begin < examples; begin += job.steps * batch) {
      const std::int64_t end = std::min(examples, begin + job.steps * batch);
      std::vector<double> change(global.size());
      for (std::size_t rank = 0; rank < ranks; ++rank) {
        std::vector<float> mine = global;
        std::int64_t count = 0;
        for (std::int64_t at = begin; at < end; at += batch) {
          const Slice slice = slice_of(std::min(batch, end - at), static_cast<int>(rank), job.size);
          if (slice.size() == 0) continue;
          static_cast<void>(
              model.gradient(mine, job.data.train,
                             std::span(order).subspan(static_cast<std::size_t>(at + slice.begin),
                                                      static_cast<std::size_t>(slice.size())),
                             gradient));
          inner[rank]->step(mine, gradient);
          count += slice.size();
        }
        for (std::size_t i = 0; i < global.size(); ++i)
          change[i] += static_cast<double>(mine[i] - global[i]) * static_cast<double>(count) /
                       static_cast<double>(end - begin);
      }
      const std::vector<float> mean(change.begin(), change.end());
      learning::outer<float>(job.outer, global, mean, state, global);
    }
  }
  return global;
}

TEST(LocalSteps, AWindowIsTheOuterStepOnTheMeanOfWhatTheRanksChanged) {
  for (const char* inner : {"SGD", "AdamW"}) {
    for (const int size : {1, 2, 3, 4}) {
      Job job{.size = size, .training = training(4, 3), .data = dataset(53, 9)};
      job.training.optimizer.name = inner;
      for (const OuterRule rule : {OuterRule::kAdd, OuterRule::kMomentum, OuterRule::kNesterov}) {
        job.outer.rule = rule;
        const auto results = run(job);
        const std::vector<float> expected = by_hand(job);
        for (const RankResult& result : results) {
          ASSERT_TRUE(result.finished);
          EXPECT_EQ(parameters_of(result), parameters_of(results[0])) << "the same bits on all ranks";
          for (std::size_t i = 0; i < expected.size(); ++i)
            EXPECT_NEAR(parameters_of(result)[i], expected[i], 2e-5)
                << inner << ", " << size << " ranks, rule " << static_cast<int>(rule);
        }
        if (size == 1) {
          EXPECT_EQ(parameters_of(results[0]), expected) << "alone, bit for bit";
        }
      }
    }
  }
}

TEST(LocalSteps, AreExchangedOnceAWindowByTheFormulasBytes) {
  const auto results = run({.size = 3, .steps = 4, .training = training(4, 2), .data = dataset(50, 9)});
  for (int rank = 0; rank < 3; ++rank) {
    const Progress& last = results[static_cast<std::size_t>(rank)].progress.back();
    EXPECT_EQ(last.step, 10) << "ceil(50 / 12) steps an epoch, as without local ones";
    EXPECT_EQ(last.outer_steps, 4) << "after steps 4, 5, 9 and 10: a window ends with its epoch";
    EXPECT_EQ(last.payload_bytes_sent, 4 * ring_bytes(kParameters, 3, rank));
    EXPECT_EQ(last.payload_bytes_expected, last.payload_bytes_sent);
  }
}

TEST(LocalSteps, EveryStepIsReportedAndTheLastOneOnlyWhenAllHaveIt) {
  const auto results = run({.size = 2, .steps = 3, .training = training(5, 1), .data = dataset(50, 9)});
  std::vector<std::int64_t> steps, outer;
  for (const Progress& progress : results[0].progress) {
    steps.push_back(progress.step);
    outer.push_back(progress.outer_steps);
  }
  EXPECT_EQ(steps, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(outer, (std::vector<std::int64_t>{0, 0, 0, 1, 1, 2}));
}

TEST(LocalSteps, AreSavedAtTheFirstMeetingBehindTheIntervalAndGoOnFromThere) {
  Job job{.size = 3, .steps = 3, .training = training(2, 3), .data = dataset(50, 9)};
  job.training.optimizer.momentum = 0;  // else the others' is lost with them
  job.training.checkpoint = spec::Checkpoint{.path = "unused", .every_steps = 4, .keep = 1};
  const auto whole = run(job);
  std::vector<std::int64_t> saved;
  for (const auto& state : whole[0].saved) saved.push_back(state.step);
  EXPECT_EQ(saved, (std::vector<std::int64_t>{6, 9, 12, 18, 21, 24})) << "of windows up to 3, 6, 9, 12, ...";
  for (const auto& state : whole[0].saved) {
    ASSERT_EQ(state.optimizer.slots.size(), 1U);
    EXPECT_EQ(state.optimizer.slots[0].name, "outer.momentum");
    const auto resumed = run(job, {{.state = state}});
    ASSERT_TRUE(resumed[2].finished);
    EXPECT_EQ(*resumed[0].learnt.state, *whole[0].learnt.state) << "from step " << state.step;
    EXPECT_EQ(parameters_of(resumed[2]), parameters_of(whole[0]));
  }
}

TEST(LocalSteps, AWindowThatLosesARankDidNotHappen) {
  Job job{.size = 3, .steps = 4, .training = training(2, 2), .data = dataset(50, 9)};
  const auto whole = run(job);
  job.rank_that_breaks = 1;
  job.after_reports = 6;  // in the second window
  const auto broken = run(job);
  std::vector<Learnt> brought;
  for (const RankResult& result : broken) {
    EXPECT_FALSE(result.finished);
    EXPECT_EQ(result.learnt.state->step, 4);
    EXPECT_EQ(result.learnt.state->examples_into_epoch, 24);
    EXPECT_LT(result.progress.back().step, 8) << "it does not go on to the window's end";
    brought.push_back(result.learnt);
  }
  job.rank_that_breaks = -1;
  job.membership = 2;
  const auto after = run(job, brought);
  for (const RankResult& result : after) {
    ASSERT_TRUE(result.finished);
    EXPECT_EQ(*result.learnt.state, *whole[static_cast<std::size_t>(&result - after.data())].learnt.state)
        << "as if nothing had happened, with each rank's own momentum";
  }
}

TEST(LocalSteps, ACheckpointIsTakenWithLocalStepsOrWithout) {
  const auto inner = learning::make_optimizer(training(1, 1).optimizer, kParameters);
  auto group = collectives({});
  const auto sum = dense_sum(*group[0], {});
  LocalSteps local({*group[0], *sum, *inner},
                   {.steps = 2, .parameters = kParameters, .outer = {.rule = OuterRule::kNesterov}});
  learning::OptimizerState with = local.kept();
  ASSERT_EQ(with.slots.size(), 2U);
  with.slots[0].values.assign(kParameters, 1.0F);
  with.slots[1].values.assign(kParameters, 2.0F);
  ASSERT_TRUE(local.restore(with));
  EXPECT_EQ(local.kept(), with);
  const auto alone = learning::make_optimizer(training(1, 1).optimizer, kParameters);
  ASSERT_TRUE(learning::restore(*alone, with)) << "to be gone on with without local steps";
  EXPECT_EQ(learning::capture(*alone), learning::without_outer(with));
  ASSERT_TRUE(local.restore(learning::without_outer(with))) << "of a training without local steps";
  with.slots[1].values.assign(kParameters, 2.0F);
  EXPECT_EQ(local.kept().slots[0], with.slots[0]);
  with.slots[1].values.resize(3);
  const Status other = local.restore(with);
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, testing::HasSubstr("of another model; use another checkpoint.path"));
}

TEST(LocalSteps, AreCompressedAsGradientsAre) {
  Job job{.size = 4, .steps = 5, .training = training(2, 20), .data = dataset(80, 9)};
  job.outer = {.rule = OuterRule::kAdd};
  // Windows that change little: what a window leaves out is late, and would lead past the goal.
  job.training.optimizer.momentum = 0;
  job.training.optimizer.learning_rate = 0.02;
  const auto dense = run(job);
  for (const auto& [bits, top_k] : {std::pair{8, 1.0}, {32, 0.3}}) {
    job.compression = {.quantization_bits = bits, .top_k_fraction = top_k};
    const auto results = run(job);
    for (const RankResult& result : results) {
      ASSERT_TRUE(result.finished);
      EXPECT_EQ(parameters_of(result), parameters_of(results[0]));
      EXPECT_EQ(result.progress.back().payload_bytes_sent, result.progress.back().payload_bytes_expected);
    }
    EXPECT_NEAR(results[0].progress.back().test->loss, dense[0].progress.back().test->loss, 0.05)
        << bits << " bits, top " << top_k;
  }
}

class LocalStepsElastic : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, LocalStepsElastic, testing::Range<std::uint64_t>(1, 4));

TEST_P(LocalStepsElastic, EveryExampleCountsOnceAnEpochOverManyChangesOfMembership) {
  Random random(GetParam());
  Job job{.training = training(3, 8), .data = one_hot()};
  std::vector<Learnt> workers(3);
  std::vector<learning::EpochBalance> balances;
  bool finished = false;
  for (int change = 0; !finished; ++change) {
    job.size = static_cast<int>(workers.size());
    job.steps = static_cast<std::int64_t>(1 + random.below(6));
    const bool breaks = change < 60;
    job.rank_that_breaks = breaks ? static_cast<int>(random.below(workers.size())) : -1;
    job.after_reports = static_cast<std::int64_t>(random.below(12));
    auto results = run(
        job, std::move(workers), [] { return std::make_unique<CountingModel>(); },
        [] { return std::make_unique<CountingOptimizer>(); });
    ++job.membership;
    workers.clear();
    for (RankResult& result : results) {
      finished = finished || result.finished;
      if (!result.progress.empty() && result.progress.back().ledger)
        for (const auto& balance : result.progress.back().ledger->balances())
          if (balances.empty() || balance.epoch > balances.back().epoch) balances.push_back(balance);
      workers.push_back(std::move(result.learnt));
    }
    while (workers.size() > 1 && random.below(2) == 0)
      workers.erase(workers.begin() + static_cast<std::ptrdiff_t>(random.below(workers.size())));
    while (workers.size() < 5 && random.below(2) == 0)
      workers.insert(workers.begin() + static_cast<std::ptrdiff_t>(random.below(workers.size() + 1)),
                     Learnt{});
  }
  EXPECT_GT(job.membership, 10);
  ASSERT_EQ(balances.size(), 8U);
  for (const auto& balance : balances) {
    EXPECT_TRUE(balance.balances()) << "epoch " << balance.epoch;
    EXPECT_EQ(balance.digest, learning::digest_of_all(kExamples));
  }
}

}  // namespace
}  // namespace muster::worker::test
