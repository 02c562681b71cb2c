// tests/worker/ledger_test.cc: what a training tells of how often each example counted, against a model whose
// parameters are these counts
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <mutex>
#include <numeric>

#include "common/base/random.h"
#include "tests/worker/counting_model.h"
#include "tests/worker/mesh_support.h"
#include "worker/engine/train_loop.h"
#include "worker/parallel/data_parallel.h"
#include "worker/parallel/gradient_sum.h"

namespace muster::worker::test {
namespace {

// Of control sums of so many floats it changes what its rank puts in.
class Liar final : public Collective {
 public:
  struct Lie {
    std::size_t floats = 0;
    std::size_t index = 0;
    float value = 0;
  };
  Liar(Collective& inner, Lie lie) : inner_(inner), lie_(lie) {}
  [[nodiscard]] int rank() const override { return inner_.rank(); }
  [[nodiscard]] int size() const override { return inner_.size(); }
  Status all_reduce_sum(std::span<float> buffer, Traffic traffic, Deadline deadline,
                        std::size_t riders) override {
    if (traffic == Traffic::kControl && buffer.size() == lie_.floats) buffer[lie_.index] = lie_.value;
    return inner_.all_reduce_sum(buffer, traffic, deadline, riders);
  }
  Result<Settled> settle(std::size_t elements, std::string_view known,
                         std::chrono::milliseconds timeout) override {
    return inner_.settle(elements, known, timeout);
  }
  void limit_waits(std::optional<std::chrono::milliseconds> limit) override { inner_.limit_waits(limit); }
  [[nodiscard]] std::uint64_t all_reduce_bytes(std::size_t elements) const override {
    return inner_.all_reduce_bytes(elements);
  }
  Status exchange(std::span<std::byte> memory, std::size_t payload, std::size_t alike,
                  std::span<const Parcel> to, std::span<const Parcel> from, Deadline deadline) override {
    return inner_.exchange(memory, payload, alike, to, from, deadline);
  }
  Status broadcast(std::span<std::byte> buffer, int root, Deadline deadline) override {
    return inner_.broadcast(buffer, root, deadline);
  }
  Status barrier(Deadline deadline) override { return inner_.barrier(deadline); }
  Status state() override { return inner_.state(); }
  [[nodiscard]] TrafficBytes bytes_sent() const override { return inner_.bytes_sent(); }
  void abort() noexcept override { inner_.abort(); }
  void leave(const Status& why) noexcept override { inner_.leave(why); }

 private:
  Collective& inner_;
  Lie lie_;
};

class Training {
 public:
  explicit Training(std::int64_t epochs) {
    training_.batch_size = 3;
    training_.epochs = epochs;
  }
  struct Plan {
    int rank_that_breaks = -1;
    std::int64_t after_reports = 0;  // one before the first step
    OwnExamples* own = nullptr;      // rank 0 trains on these
    std::optional<Liar::Lie> lie{};  // of rank 0
  };
  // One membership of `workers`; true: it came to the end.
  bool run(const Plan& plan, std::vector<Learnt>& workers) {
    ++membership_;
    const int size = static_cast<int>(workers.size());
    auto group = collectives(size == 1 ? std::vector<std::unique_ptr<Mesh>>()
                                       : memory_mesh(size, static_cast<std::uint64_t>(membership_)));
    std::atomic<bool> finished = false;
    on_all_ranks(size, [&](int rank) {
      const auto index = static_cast<std::size_t>(rank);
      CountingModel model;
      CountingOptimizer optimizer;
      std::int64_t reports = 0;
      TrainLoop::Hooks hooks;
      hooks.progress = [&](const Progress& progress, const History&) {
        if (rank == 0 && reports_.empty()) reports_.push_back(progress);
        if (progress.ledger && !progress.ledger->balances().empty()) note(progress.ledger->balances().back());
        if (rank == plan.rank_that_breaks && reports++ == plan.after_reports) group[index]->abort();
      };
      const auto gradient_sum = dense_sum(*group[index], {});
      DataParallel parallel({*group[index], *gradient_sum, optimizer}, std::chrono::seconds(60));
      Liar liar(*group[index], plan.lie.value_or(Liar::Lie()));
      TrainLoop loop({.collective = plan.lie && rank == 0 ? liar : *group[index],
                      .model = model,
                      .synchronizer = parallel,
                      .training = training_,
                      .data = data_,
                      .own = rank == 0 ? plan.own : nullptr},
                     {.membership = membership_}, hooks);
      auto outcome = loop.run(std::move(workers[index]));
      if (outcome) {
        finished = true;
        workers[index] = {.state = std::move(outcome->state), .membership = membership_};
      } else {
        if (outcome.error().code == Code::kInternal) ++lies_found_;  // the other one may be aborted by it
        EXPECT_TRUE(outcome.error().code == Code::kAborted || plan.lie) << outcome.error().message;
        workers[index] = loop.learnt();
        if (plan.lie) group[index]->leave(outcome.error());
      }
    });
    return finished;
  }
  // Of each epoch, once: all ranks must tell the same.
  [[nodiscard]] const std::vector<learning::EpochBalance>& told() const { return told_; }
  [[nodiscard]] const std::vector<Progress>& first() const { return reports_; }  // report, of rank 0
  [[nodiscard]] int lies_found() const { return lies_found_; }
  [[nodiscard]] std::int64_t memberships() const { return membership_; }

 private:
  void note(const learning::EpochBalance& balance) {
    const std::lock_guard lock(mutex_);
    const auto known = std::ranges::find(told_, balance.epoch, &learning::EpochBalance::epoch);
    if (known == told_.end()) {
      told_.push_back(balance);
    } else {
      EXPECT_EQ(*known, balance);
    }
  }

  spec::Training training_;
  learning::Dataset data_ = one_hot();
  std::int64_t membership_ = 0;
  std::mutex mutex_;
  std::vector<Progress> reports_;
  std::atomic<int> lies_found_ = 0;
  std::vector<learning::EpochBalance> told_;
};

std::vector<float> counts_of(const std::vector<Learnt>& workers) {
  const auto done = std::ranges::max_element(workers, {}, [](const Learnt& learnt) {
    return std::pair(learnt.membership, learnt.state ? learnt.state->step : -1);
  });
  return done->state->parameters;
}

class LedgerOf : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, LedgerOf, testing::Range<std::uint64_t>(1, 4));

// What a broken or hostile rank tells where the ranks tell each other their rows: it may end them, with an
// error.
TEST(LedgerOf, NumbersThatAreNoneEndAllRanks) {
  constexpr std::size_t kCounts = 4;  // two floats of each of two ranks
  constexpr std::size_t kRows = 12;   // and of each row of a batch of 6
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinite = std::numeric_limits<float>::infinity();
  const Liar::Lie lies[] = {{kCounts, 0, nan},   {kCounts, 1, infinite}, {kCounts, 1, -1},
                            {kCounts, 0, 1},     {kCounts, 1, 16},       {kCounts, 3, 3},
                            {kCounts, 0, 3e38F}, {kRows, 0, nan},        {kRows, 1, -5},
                            {kRows, 1, 97},      {kRows, 0, 1},          {kRows, 5, 3e38F}};
  for (const Liar::Lie& lie : lies) {
    SCOPED_TRACE(fmt::format("{} as {} of {}", lie.value, lie.index, lie.floats));
    Training training(1);
    std::vector<std::int64_t> rows(11);
    std::iota(rows.begin(), rows.end(), std::int64_t{0});
    OwnExamples own(rows, 5);
    std::vector<Learnt> workers(2);
    EXPECT_FALSE(training.run({.own = &own, .lie = lie}, workers));
    EXPECT_GE(training.lies_found(), 1);
  }
}

TEST(LedgerOf, IsToldBeforeTheFirstStep) {
  Training training(1);
  std::vector<Learnt> workers(1);
  ASSERT_TRUE(training.run({}, workers));
  ASSERT_FALSE(training.first().empty());
  EXPECT_TRUE(training.first()[0].ledger) << "metrics count what comes behind the first report";
}

TEST_P(LedgerOf, AHundredChangesOfMembershipIsWhatTheModelCounted) {
  constexpr std::int64_t kEpochs = 40;
  Random random(GetParam());
  Training training(kEpochs);
  std::vector<Learnt> workers(3);
  bool finished = false;
  for (int change = 0; change < 100 && !finished; ++change) {
    finished = training.run({.rank_that_breaks = static_cast<int>(random.below(workers.size())),
                             .after_reports = static_cast<std::int64_t>(random.below(8))},
                            workers);
    if (finished) break;
    while (workers.size() > 1 && random.below(2) == 0)
      workers.erase(workers.begin() + static_cast<std::ptrdiff_t>(random.below(workers.size())));
    while (workers.size() < 6 && random.below(2) == 0)
      workers.insert(workers.begin() + static_cast<std::ptrdiff_t>(random.below(workers.size() + 1)),
                     Learnt{});
  }
  if (!finished) finished = training.run({}, workers);
  ASSERT_TRUE(finished);
  EXPECT_GT(training.memberships(), 20);
  EXPECT_EQ(counts_of(workers), std::vector<float>(kExamples, kEpochs)) << "the truth";
  ASSERT_EQ(training.told().size(), static_cast<std::size_t>(kEpochs));
  for (const learning::EpochBalance& balance : training.told()) {
    EXPECT_TRUE(balance.balances()) << balance.epoch;
    EXPECT_EQ(balance.counted, kExamples);
    EXPECT_EQ(balance.digest, learning::digest_of_all(kExamples));
  }
}

// Beyond once an epoch, and not at all, of one epoch whose counts are `counts`.
void expect_told(const std::vector<float>& counts, const learning::EpochBalance& told) {
  std::int64_t twice = 0;
  for (const float count : counts) twice += std::max<std::int64_t>(std::llround(count) - 1, 0);
  EXPECT_GT(twice, 0) << "something is planted";
  EXPECT_EQ(told.twice, twice);
  EXPECT_EQ(told.missed, std::ranges::count(counts, 0.0F));
  EXPECT_EQ(told.counted, std::llround(std::accumulate(counts.begin(), counts.end(), 0.0)));
  EXPECT_FALSE(told.balances());
}

// A membership that begins where the one before did not end.
TEST(LedgerOf, AStateThatIsSomeExamplesBackIsFoundToTheExample) {
  for (const std::int64_t back : {1, 5, 12}) {
    SCOPED_TRACE(back);
    Training training(1);
    std::vector<Learnt> workers(2);
    ASSERT_FALSE(training.run({.rank_that_breaks = 1, .after_reports = 5}, workers));
    for (Learnt& learnt : workers) learnt.state->examples_into_epoch -= back;
    ASSERT_TRUE(training.run({}, workers));
    ASSERT_EQ(training.told().size(), 1U);
    expect_told(counts_of(workers), training.told()[0]);
    EXPECT_EQ(training.told()[0].twice, back);
  }
}

// A rank that takes other examples than the others believe. (The order of the epoch is another one than that
// of its own examples, so that a batch has as many of them by chance only.)
TEST(LedgerOf, ARankThatTrainsOnOtherExamplesIsFoundToTheExample) {
  for (const int size : {1, 2, 4}) {
    SCOPED_TRACE(size);
    Training training(1);
    std::vector<std::int64_t> rows(11);
    std::iota(rows.begin(), rows.end(), std::int64_t{0});
    OwnExamples own(rows, 5);
    std::vector<Learnt> workers(static_cast<std::size_t>(size));
    ASSERT_TRUE(training.run({.own = &own}, workers));
    ASSERT_EQ(training.told().size(), 1U);
    const learning::EpochBalance& told = training.told()[0];
    const auto counts = counts_of(workers);
    EXPECT_EQ(told.counted, kExamples);
    EXPECT_FALSE(told.balances());
    EXPECT_EQ(told.twice, told.missed);
    // A step that has too many of an example may make good one that had too few: each counts, so these are
    // no fewer than the truth.
    EXPECT_GE(told.missed, std::ranges::count(counts, 0.0F));
    EXPECT_GE(told.missed, 1);
  }
}

TEST(LedgerOf, AStateOfAnEarlierReleaseIsBelieved) {
  Training training(1);
  std::vector<Learnt> workers(2);
  ASSERT_FALSE(training.run({.rank_that_breaks = 1, .after_reports = 5}, workers));
  for (Learnt& learnt : workers) learnt.state->ledger.reset();
  ASSERT_TRUE(training.run({}, workers));
  ASSERT_EQ(training.told().size(), 1U);
  EXPECT_TRUE(training.told()[0].balances());
}

// Elements that are no numbers, of one rank, in one step, in a model that does not need them.
class OddModel final : public learning::Model {
 public:
  explicit OddModel(std::int64_t odd_step) : odd_step_(odd_step) {}
  [[nodiscard]] std::span<const learning::Tensor> tensors() const override { return inner_.tensors(); }
  [[nodiscard]] std::int64_t parameter_count() const override { return inner_.parameter_count(); }
  [[nodiscard]] std::vector<float> initial_parameters(std::uint64_t seed) const override {
    return inner_.initial_parameters(seed);
  }
  double gradient(std::span<const float> parameters, const learning::Examples& data,
                  std::span<const std::int64_t> rows, std::span<float> gradient) override {
    const double loss = inner_.gradient(parameters, data, rows, gradient);
    if (++step_ == odd_step_) {
      gradient[3] = std::numeric_limits<float>::quiet_NaN();
      gradient[50] = std::numeric_limits<float>::infinity();
    }
    return loss;
  }
  learning::Evaluation evaluate(std::span<const float> parameters, const learning::Examples& data) override {
    return inner_.evaluate(parameters, data);
  }

 private:
  CountingModel inner_;
  std::int64_t odd_step_;
  std::int64_t step_ = 0;
};

TEST(NotFinite, OfSeveralStepsNamesThemAll) {
  EXPECT_EQ(steps_of({.step = 5}), "at step 5");
  EXPECT_EQ(steps_of({.step = 9, .steps = 8}), "in steps 2 to 9");
}

TEST(NotFinite, ACountThatIsNoneCountsNothing) {
  for (const float odd : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity(), -1.0F, 1e30F})
    EXPECT_EQ(count_told(odd), 0) << odd;
  EXPECT_EQ(count_told(7), 7);
}

TEST(NotFinite, GoesThroughTheSumAndIsToldWithStepAndRank) {
  for (const int size : {1, 3}) {
    SCOPED_TRACE(size);
    auto group = collectives(size == 1 ? std::vector<std::unique_ptr<Mesh>>() : memory_mesh(size, 1));
    spec::Training training;
    training.batch_size = 4;
    training.epochs = 1;
    const learning::Dataset data = one_hot();
    std::vector<Progress> last(static_cast<std::size_t>(size));
    std::vector<std::vector<float>> sums(static_cast<std::size_t>(size));
    on_all_ranks(size, [&](int rank) {
      struct Optimizer final : learning::Optimizer {
        explicit Optimizer(std::vector<float>& odd) : odd_(odd) {}
        void step(std::span<float> /*parameters*/, std::span<const float> gradient) override {
          for (const float value : gradient)
            if (!std::isfinite(value)) odd_.push_back(value);
        }
        [[nodiscard]] std::vector<Slot> slots() override { return {}; }
        [[nodiscard]] std::int64_t steps() const override { return 0; }
        void set_steps(std::int64_t /*steps*/) override {}
        std::vector<float>& odd_;
      };
      const auto index = static_cast<std::size_t>(rank);
      OddModel model(rank == size - 1 ? 5 : -1);
      Optimizer optimizer(sums[index]);
      const auto gradient_sum = dense_sum(*group[index], {});
      DataParallel parallel({*group[index], *gradient_sum, optimizer}, std::chrono::seconds(60));
      TrainLoop::Hooks hooks;
      hooks.progress = [&](const Progress& progress, const History&) { last[index] = progress; };
      TrainLoop loop({.collective = *group[index],
                      .model = model,
                      .synchronizer = parallel,
                      .training = training,
                      .data = data},
                     {}, hooks);
      const auto outcome = loop.run({});
      ASSERT_TRUE(outcome) << outcome.error().message;
    });
    for (int rank = 0; rank < size; ++rank) {
      const auto index = static_cast<std::size_t>(rank);
      EXPECT_EQ(last[index].not_finite, 2);
      EXPECT_EQ(last[index].mine_not_finite, rank == size - 1 ? 2 : 0);
      ASSERT_TRUE(last[index].first_not_finite);
      EXPECT_EQ(last[index].first_not_finite->step, 5);
      EXPECT_EQ(last[index].first_not_finite->rank, size - 1);
      EXPECT_EQ(last[index].first_not_finite->elements, 2);
      ASSERT_EQ(sums[index].size(), 2U) << "once, and both on every rank";
      EXPECT_TRUE(std::isnan(sums[index][0]));
      EXPECT_TRUE(std::isinf(sums[index][1]));
    }
  }
}

}  // namespace
}  // namespace muster::worker::test
