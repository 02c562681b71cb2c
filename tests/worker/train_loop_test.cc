// tests/worker/train_loop_test.cc: batches, weights, evaluation, checkpoints and stops of the loop, on a
// model done by hand
#include "worker/engine/train_loop.h"
#include "worker/parallel/data_parallel.h"
#include "worker/parallel/gradient_sum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <mutex>
#include <numeric>

#include "common/base/random.h"
#include "tests/worker/mesh_support.h"
#include "tests/worker/quadratic_model.h"
#include "tests/worker/run_alone.h"
#include "tests/worker/small_job.h"
#include "worker/engine/batches.h"
#include "worker/engine/history.h"

namespace muster::worker::test {
namespace {

using testing::HasSubstr;

struct RankResult {
  std::optional<Result<TrainLoop::Outcome>> outcome;
  std::vector<Progress> progress;
  std::vector<std::int64_t> rows;
  std::vector<learning::TrainingState> saved;
};

struct JobOptions {
  std::optional<learning::TrainingState> resume{};
  std::int64_t stop_after_step = -1;  // rank 1 is asked to stop then
  int nan_at_step = -1;
  bool lost_at_evaluation = false;    // the mesh breaks when rank 0 begins its first evaluation
  std::int64_t lost_after_step = -1;  // the last rank is gone then
  Status save_result{};
  std::string digest_of_last{};  // of the data that the last rank has
};

std::vector<RankResult> run_job(int size, const spec::Training& spec, const learning::Dataset& data,
                                const JobOptions& options = {}) {
  auto group = collectives(size == 1 ? std::vector<std::unique_ptr<Mesh>>() : memory_mesh(size, 1));
  std::vector<RankResult> results(static_cast<std::size_t>(size));
  learning::Dataset of_last = data;
  if (!options.digest_of_last.empty()) of_last.digest = options.digest_of_last;
  on_all_ranks(size, [&](int rank) {
    RankResult& result = results[static_cast<std::size_t>(rank)];
    QuadraticModel model(kParameters);
    model.nan_at_step = options.nan_at_step;
    if (options.lost_at_evaluation && rank == 0) model.before_evaluation = [&] { group[0]->abort(); };
    auto optimizer = learning::make_optimizer(spec.optimizer, kParameters);
    TrainLoop::Hooks hooks;
    hooks.now = [] { return Instant{}; };  // no time passes, so that states are equal
    hooks.progress = [&, rank](const Progress& progress, const History&) {
      result.progress.push_back(progress);
      if (rank == size - 1 && progress.step == options.lost_after_step)
        group[static_cast<std::size_t>(rank)]->abort();
    };
    hooks.stop_requested = [&, rank] {
      return rank == size - 1 && options.stop_after_step >= 0 &&
             result.progress.back().step >= options.stop_after_step - 1;
    };
    CheckpointWriter writer([&](const learning::TrainingState& state) {
      result.saved.push_back(state);
      return options.save_result;
    });
    const auto gradient_sum = dense_sum(*group[static_cast<std::size_t>(rank)], {});
    DataParallel parallel({*group[static_cast<std::size_t>(rank)], *gradient_sum, *optimizer},
                          std::chrono::seconds(30));
    TrainLoop loop({.collective = *group[static_cast<std::size_t>(rank)],
                    .model = model,
                    .synchronizer = parallel,
                    .training = spec,
                    .data = rank == size - 1 ? of_last : data,
                    .writer = rank == 0 ? &writer : nullptr},
                   {.timeout = std::chrono::seconds(30),
                    .start_timeout = std::chrono::seconds(30),
                    .checkpoint_patience = std::chrono::seconds(30)},
                   hooks);
    result.outcome = loop.run({.state = rank == 0 ? options.resume : std::nullopt});
    result.rows = model.rows_seen;
    // What all ranks find out by themselves is not told (and the memory mesh forgets what is on its way).
    const bool told = !*result.outcome && (result.outcome->error().code != Code::kInvalidArgument ||
                                           !options.digest_of_last.empty());
    if (told) group[static_cast<std::size_t>(rank)]->leave(unavailable("failed"));
  });
  return results;
}

TEST(TrainLoop, EveryEpochTrainsOnEveryExampleOnceOverAllRanks) {
  const auto results = run_job(3, training(4, 2), dataset(50, 9));
  std::vector<std::int64_t> rows;
  for (const auto& result : results) rows.insert(rows.end(), result.rows.begin(), result.rows.end());
  std::ranges::sort(rows);
  std::vector<std::int64_t> expected;
  for (std::int64_t row = 0; row < 50; ++row) expected.insert(expected.end(), 2, row);
  EXPECT_EQ(rows, expected);
  EXPECT_EQ(results[0].progress.back().step, 10) << "ceil(50 / 12) steps an epoch";
  EXPECT_EQ(results[0].progress.back().total_steps, 10);
}

TEST(TrainLoop, NWorkersFollowTheCurveOfOneWithNTimesTheBatchEvenWithAPartialBatch) {
  const auto data = dataset(53, 10);  // the last batch of 5 is smaller than 4 ranks times anything equal
  const auto four = run_job(4, training(3, 3), data);
  const auto one = run_job(1, training(12, 3), data);
  ASSERT_EQ(four[0].progress.size(), one[0].progress.size());
  for (std::size_t i = 0; i < one[0].progress.size(); ++i)
    EXPECT_NEAR(four[0].progress[i].loss, one[0].progress[i].loss, 1e-5) << "step " << i;
  ASSERT_TRUE(one[0].progress.back().test && four[0].progress.back().test);
  EXPECT_NEAR(four[0].progress.back().test->loss, one[0].progress.back().test->loss, 1e-5);
  EXPECT_DOUBLE_EQ(four[0].progress.back().test->accuracy, 0.4) << "4 of 10 labels are 1";
  EXPECT_DOUBLE_EQ(one[0].progress.back().test->accuracy, 0.4);
}

TEST(TrainLoop, AllRanksEndWithTheSameBitsAndSendTheFormulasBytes) {
  const auto results = run_job(3, training(4, 2), dataset(50, 9));
  for (int rank = 0; rank < 3; ++rank) {
    const auto& result = results[static_cast<std::size_t>(rank)];
    EXPECT_EQ((**result.outcome).state.parameters, (**results[0].outcome).state.parameters);
    const Progress& last = result.progress.back();
    EXPECT_EQ(last.payload_bytes_sent, 10 * ring_bytes(kParameters, 3, rank));
    EXPECT_EQ(last.payload_bytes_expected, last.payload_bytes_sent);
    EXPECT_EQ(last.gradient_bytes, kParameters * sizeof(float));
  }
}

TEST(TrainLoop, FewerExamplesThanRanksStillTrain) {
  const auto results = run_job(4, training(1, 2), dataset(2, 1));
  for (const auto& result : results) {
    ASSERT_TRUE(*result.outcome) << result.outcome->error().message;
    EXPECT_EQ((**result.outcome).state.parameters, (**results[0].outcome).state.parameters);
  }
}

TEST(TrainLoop, RankZeroSavesEverySoManyStepsAndAResumedJobEndsWithTheSameState) {
  spec::Training spec = training(4, 3);
  spec.checkpoint = spec::Checkpoint{.path = "unused", .every_steps = 4, .keep = 1};
  const auto data = dataset(50, 9);
  const auto whole = run_job(3, spec, data);
  ASSERT_EQ(whole[0].saved.size(), 3U) << "steps 4, 8, 12 of 15";
  EXPECT_TRUE(whole[1].saved.empty());
  for (const auto& saved : whole[0].saved) {
    const auto resumed = run_job(3, spec, data, {.resume = saved});
    ASSERT_TRUE(*resumed[2].outcome);
    EXPECT_EQ((**resumed[0].outcome).state, (**whole[0].outcome).state) << "from step " << saved.step;
    EXPECT_EQ((**resumed[2].outcome).state.parameters, (**whole[0].outcome).state.parameters);
    EXPECT_EQ(resumed[2].progress.back().resumed_from_step, saved.step);
    EXPECT_EQ(resumed[1].progress.back().total_steps, 15);
    EXPECT_EQ(resumed[1].progress.front().loss, saved.history.back().loss) << "known before the first step";
  }
}

TEST(TrainLoop, WhenOneRankIsAskedToStopAllStopAfterTheSameStepAndRankZeroSaves) {
  spec::Training spec = training(4, 100);
  spec.checkpoint = spec::Checkpoint{.path = "unused", .every_steps = 1000, .keep = 1};
  const auto results = run_job(3, spec, dataset(50, 9), {.stop_after_step = 7});
  for (const auto& result : results) {
    ASSERT_TRUE(*result.outcome);
    EXPECT_TRUE((**result.outcome).stopped);
    EXPECT_EQ((**result.outcome).state.step, 7);
  }
  ASSERT_EQ(results[0].saved.size(), 1U);
  EXPECT_EQ(results[0].saved[0].step, 7);
}

TEST(TrainLoop, ALossThatIsNotANumberEndsAllRanksWithTheStepAndARemedy) {
  for (const auto& result : run_job(2, training(4, 3), dataset(50, 9), {.nan_at_step = 3})) {
    ASSERT_FALSE(*result.outcome);
    EXPECT_EQ(result.outcome->error().code, Code::kInvalidArgument);
    EXPECT_THAT(result.outcome->error().message, HasSubstr("NaN at step 3"));
    EXPECT_THAT(result.outcome->error().message, HasSubstr("learningRate"));
  }
}

TEST(TrainLoop, ACheckpointThatCannotBeWrittenEndsTheJob) {
  spec::Training spec = training(4, 3);
  spec.checkpoint = spec::Checkpoint{.path = "unused", .every_steps = 2, .keep = 1};
  const auto results = run_job(2, spec, dataset(50, 9), {.save_result = resource_exhausted("disk full")});
  ASSERT_FALSE(*results[0].outcome);
  EXPECT_EQ(results[0].outcome->error().message, "disk full");
  EXPECT_FALSE(*results[1].outcome);
}

TEST(TrainLoop, ACheckpointOfAnotherModelEndsAllRanks) {
  learning::TrainingState state;
  state.step = 5;
  state.parameters.resize(3);
  auto optimizer = learning::make_optimizer(training(1, 1).optimizer, kParameters);
  state.optimizer = learning::capture(*optimizer);
  const auto results = run_job(2, training(4, 3), dataset(50, 9), {.resume = state});
  ASSERT_FALSE(*results[0].outcome);
  EXPECT_EQ(results[0].outcome->error().code, Code::kInvalidArgument);
  EXPECT_THAT(results[0].outcome->error().message, HasSubstr("3 parameters, the model 7"));
  EXPECT_FALSE(*results[1].outcome);
}

TEST(TrainLoop, ACheckpointOfALargerDatasetEndsAllRanksWithARemedy) {
  spec::Training spec = training(4, 1);
  spec.checkpoint = spec::Checkpoint{.path = "unused", .every_steps = 5, .keep = 1};
  const auto whole = run_job(2, spec, dataset(50, 9));
  ASSERT_EQ(whole[0].saved.size(), 1U);
  for (const std::int64_t examples : {30, 40}) {  // 40 are done: nothing would be left of the epoch
    const auto results = run_job(2, spec, dataset(examples, 9), {.resume = whole[0].saved[0]});
    ASSERT_FALSE(*results[0].outcome);
    EXPECT_EQ(results[0].outcome->error().code, Code::kInvalidArgument);
    EXPECT_THAT(results[0].outcome->error().message, HasSubstr("of step 5 is 40 examples into an epoch"));
    EXPECT_THAT(results[0].outcome->error().message, HasSubstr("restore the dataset"));
    EXPECT_FALSE(*results[1].outcome);
  }
}

TEST(TrainLoop, ARankThatIsLostDuringTheEvaluationCostsNothingThatWasLearnt) {
  const spec::Training spec = training(4, 2);
  const auto data = dataset(50, 9);
  const auto whole = run_job(2, spec, data);
  const auto broken = run_job(2, spec, data, {.lost_at_evaluation = true});
  ASSERT_FALSE(*broken[0].outcome);
  ASSERT_EQ(broken[0].saved.size(), 1U);
  EXPECT_EQ(broken[0].saved[0].epoch, 1);
  EXPECT_EQ(broken[0].saved[0].history.back().accuracy, std::nullopt);
  const auto resumed = run_job(2, spec, data, {.resume = broken[0].saved[0]});
  ASSERT_TRUE(*resumed[0].outcome);
  EXPECT_EQ((**resumed[0].outcome).state, (**whole[0].outcome).state) << "the evaluation is made up for";
}

TEST(TrainLoop, ARankThatIsLostAfterItsLastStepLeavesTheJobAtThatStep) {
  const auto results = run_job(2, training(4, 2), dataset(50, 9), {.lost_after_step = 14});
  ASSERT_FALSE(*results[0].outcome) << "rank 0 has not heard that the other is done as well";
  ASSERT_EQ(results[0].saved.size(), 1U);
  EXPECT_EQ(results[0].saved[0].step, 14);
}

TEST(TrainLoop, AResumeWithNothingLeftTellsTheLossAndTheAccuracy) {
  const spec::Training spec = training(4, 2);
  const auto data = dataset(50, 9);
  const auto whole = run_job(2, spec, data);
  const auto resumed = run_job(2, spec, data, {.resume = (**whole[0].outcome).state});
  ASSERT_TRUE(*resumed[0].outcome);
  EXPECT_EQ((**resumed[0].outcome).state, (**whole[0].outcome).state);
  for (int rank = 0; rank < 2; ++rank) {
    const Progress& told = resumed[static_cast<std::size_t>(rank)].progress.back();
    const Progress& expected = whole[static_cast<std::size_t>(rank)].progress.back();
    EXPECT_EQ(told.step, expected.step);
    EXPECT_EQ(told.loss, expected.loss);
    ASSERT_TRUE(told.test);
    EXPECT_EQ(told.test->accuracy, expected.test->accuracy);
    EXPECT_EQ(told.test->loss, expected.test->loss);
  }
}

TEST(TrainLoop, NoRankBeginsBeforeAllHaveLoadedTheirData) {
  auto group = collectives(memory_mesh(2, 1));  // rank 1 does not come
  QuadraticModel model(kParameters);
  const spec::Training spec = training(4, 1);
  const auto optimizer = learning::make_optimizer(spec.optimizer, kParameters);
  const auto data = dataset(50, 9);
  bool began = false;
  TrainLoop::Hooks hooks;
  hooks.progress = [&](const Progress&, const History&) { began = true; };
  constexpr std::chrono::milliseconds kShort{20};
  const auto gradient_sum = dense_sum(*group[0], {});
  DataParallel parallel({*group[0], *gradient_sum, *optimizer}, kShort);
  TrainLoop loop(
      {.collective = *group[0], .model = model, .synchronizer = parallel, .training = spec, .data = data},
      {.timeout = kShort, .start_timeout = kShort}, hooks);
  const auto outcome = loop.run({});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Code::kDeadlineExceeded);
  EXPECT_FALSE(began);
}

TEST(TrainLoop, SkipsACheckpointThatIsDueWhileTheOneBeforeIsWrittenButNotTheLast) {
  spec::Training spec = training(5, 3);
  spec.checkpoint = spec::Checkpoint{.path = "unused", .every_steps = 4, .keep = 1};
  QuadraticModel model(kParameters);
  std::promise<void> went_on;
  bool stop = false;
  std::int64_t skipped = 0;
  TrainLoop::Hooks hooks;
  hooks.stop_requested = [&] { return stop; };
  hooks.progress = [&](const Progress& progress, const History&) {
    stop = progress.step == 17;
    skipped = progress.checkpoints_skipped;
    if (progress.step == 18) went_on.set_value();
  };
  std::vector<std::int64_t> saved;
  const auto write = [&](const learning::TrainingState& state) -> Status {
    saved.push_back(state.step);
    const bool in_time = state.step != 4 ||
                         went_on.get_future().wait_for(std::chrono::seconds(60)) == std::future_status::ready;
    return in_time ? Status() : unavailable("the training waits for its checkpoint");
  };
  const auto outcome = run_alone(spec, dataset(50, 9), model, hooks, write);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_TRUE(outcome->stopped);
  EXPECT_EQ(saved, (std::vector<std::int64_t>{4, 18}));
  EXPECT_EQ(skipped, 3) << "those of the steps 8, 12 and 16";
}

TEST(TrainLoop, RefusesRanksWithOtherDataBeforeTheFirstStep) {
  auto data = dataset(50, 9);
  data.digest = std::string(64, 'a');
  const auto results = run_job(3, training(4, 1), data, {.digest_of_last = std::string(64, 'b')});
  for (const auto& result : results) {
    ASSERT_FALSE(*result.outcome);
    EXPECT_THAT(result.rows, testing::IsEmpty());
  }
  EXPECT_EQ(results[2].outcome->error().code, Code::kInvalidArgument);
  EXPECT_THAT(results[2].outcome->error().message,
              HasSubstr("rank 0's examples have the digest aaaaaaaaaaaaaaaa, this rank's bbbbbbbbbbbbbbbb"));
}

TEST(TrainLoop, DoubtsAModelWhoseLossIsFarAboveGuessingAndNoOther) {
  spec::Training spec = training(5, 3);
  spec.optimizer.momentum = 0;
  spec.optimizer.learning_rate = 2.2;  // the distance to the minimum grows by a fifth each step
  QuadraticModel model(kParameters);
  auto outcome = run_alone(spec, dataset(50, 9), model, {});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_THAT(outcome->doubt.value_or(""), HasSubstr("the training diverged"));
  learning::Dataset easy = dataset(50, 9);
  std::ranges::fill(easy.train.features, 0.0F);
  spec.optimizer.learning_rate = 0.5;
  outcome = run_alone(spec, easy, model, {});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->doubt, std::nullopt);
}

TEST(TrainLoop, TheLastCheckpointThatCannotBeWrittenEndsTheJobToo) {
  spec::Training spec = training(5, 1);
  spec.checkpoint = spec::Checkpoint{.path = "unused", .every_steps = 9, .keep = 1};
  QuadraticModel model(kParameters);
  const auto outcome =
      run_alone(spec, dataset(50, 9), model, {},
                [](const learning::TrainingState&) -> Status { return resource_exhausted("disk full"); });
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().message, "disk full");
}

TEST(Batches, SlicesTileTheBatchAndOrdersArePermutationsThatDifferByEpoch) {
  for (std::int64_t count = 0; count < 30; ++count) {
    for (int ranks = 1; ranks <= 7; ++ranks) {
      std::int64_t next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const Slice slice = slice_of(count, rank, ranks);
        EXPECT_EQ(slice.begin, next);
        EXPECT_LE(slice.size(), count / ranks + 1);
        next = slice.end;
      }
      EXPECT_EQ(next, count);
    }
  }
  auto order = epoch_order(1, 0, 100);
  EXPECT_EQ(order, epoch_order(1, 0, 100));
  EXPECT_NE(order, epoch_order(1, 1, 100));
  EXPECT_NE(order, epoch_order(2, 0, 100));
  std::ranges::sort(order);
  std::vector<std::int64_t> all(100);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(order, all);
}

TEST(History, NeverHoldsMoreThanItsLimitAndKeepsFirstLastAndEvaluations) {
  History history;
  for (std::int64_t step = 1; step <= 10'000; ++step) {
    history.add({.at = step,
                 .loss = 1.0 / static_cast<double>(step),
                 .accuracy = step % 1000 == 0 ? std::optional(0.5) : std::nullopt});
    ASSERT_LE(history.points().size(), History::kPointsMax);
    ASSERT_EQ(history.points().front().at, 1);
    ASSERT_EQ(history.points().back().at, step);
  }
  EXPECT_GE(history.points().size(), History::kPointsMax / 2);
  EXPECT_EQ(
      std::ranges::count_if(history.points(), [](const auto& point) { return point.accuracy.has_value(); }),
      10);
  EXPECT_TRUE(std::ranges::is_sorted(history.points(), {}, &learning::HistoryPoint::at));
}

TEST(History, APointOfTheSameStepReplacesTheLast) {
  History history;
  history.add({.at = 1, .loss = 3, .accuracy = std::nullopt});
  history.add({.at = 1, .loss = 3, .accuracy = 0.5});
  EXPECT_EQ(history.points(), (std::vector<learning::HistoryPoint>{{.at = 1, .loss = 3, .accuracy = 0.5}}));
}

TEST(History, StaysBoundedWhenEveryStepIsAnEvaluation) {
  History history;
  for (std::int64_t step = 1; step <= 5'000; ++step) {
    history.add({.at = step, .loss = 1, .accuracy = 0.5});
    ASSERT_LE(history.points().size(), History::kPointsMax);
    ASSERT_EQ(history.points().back().at, step);
  }
}

TEST(History, ARestoredCurveGoesOnAsItWouldHave) {
  for (const std::int64_t pause : {1, 2, 3, 199, 200, 201, 450, 1234, 3999}) {
    History whole;
    History part;
    for (std::int64_t step = 1; step <= 4'000; ++step) {
      const learning::HistoryPoint point{.at = step,
                                         .loss = static_cast<double>(step),
                                         .accuracy = step % 97 == 0 ? std::optional(0.5) : std::nullopt};
      whole.add(point);
      part.add(point);
      if (step == pause) part = History(part.points());
    }
    EXPECT_EQ(part.points(), whole.points()) << "paused after " << pause;
  }
}

}  // namespace
}  // namespace muster::worker::test
