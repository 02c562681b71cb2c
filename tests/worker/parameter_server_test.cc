// tests/worker/parameter_server_test.cc: workers and parameter servers together: the same bits as an
// all-reduce in the order of ranks, bytes by the formula, every example once, nobody waits for a slow one
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "common/base/random.h"
#include "tests/worker/counting_model.h"
#include "tests/worker/parameter_server_support.h"
#include "tests/worker/quadratic_model.h"
#include "tests/worker/small_job.h"
#include "worker/parallel/data_parallel.h"

namespace muster::worker::test {
namespace {

using Floats = std::vector<float>;

std::unique_ptr<learning::Model> quadratic(int /*worker*/) {
  return std::make_unique<QuadraticModel>(kParameters);
}
std::unique_ptr<learning::Model> counting(int /*worker*/) { return std::make_unique<CountingModel>(); }
std::unique_ptr<learning::Optimizer> counter(std::int64_t /*parameters*/) {
  return std::make_unique<CountingOptimizer>();
}

// The same training without servers.
Floats all_to_all(int workers, const spec::Training& training, const learning::Dataset& data) {
  auto group = collectives(workers == 1 ? std::vector<std::unique_ptr<Mesh>>() : memory_mesh(workers, 1),
                           Topology::kAllToAll);
  std::vector<Floats> ends(static_cast<std::size_t>(workers));
  on_all_ranks(workers, [&](int rank) {
    Collective& collective = *group[static_cast<std::size_t>(rank)];
    QuadraticModel model(kParameters);
    const auto optimizer = learning::make_optimizer(training.optimizer, kParameters);
    const auto gradient_sum = dense_sum(collective, {});
    DataParallel parallel({collective, *gradient_sum, *optimizer}, std::chrono::seconds(30));
    TrainLoop loop({.collective = collective,
                    .model = model,
                    .synchronizer = parallel,
                    .training = training,
                    .data = data},
                   {}, {});
    auto outcome = loop.run({});
    ASSERT_TRUE(outcome) << outcome.error().message;
    ends[static_cast<std::size_t>(rank)] = outcome->state.parameters;
  });
  return ends[0];
}

struct Served {
  int workers;
  int shards;
};
class Synchronous : public testing::TestWithParam<Served> {};
INSTANTIATE_TEST_SUITE_P(
    Sizes, Synchronous, testing::Values(Served{1, 1}, Served{2, 1}, Served{3, 2}, Served{4, 3}, Served{3, 7}),
    [](const auto& one) { return fmt::format("{}workers{}shards", one.param.workers, one.param.shards); });

TEST_P(Synchronous, EndsWithTheBitsOfAnAllReduceInTheOrderOfRanksAndSendsTheFormulasBytes) {
  for (const char* name : {"SGD", "Adam"}) {
    spec::Training spec = training(5, 2);
    spec.optimizer.name = name;
    const auto data = dataset(53, 9);  // the last batches are partial
    std::vector<Learnt> learnt(static_cast<std::size_t>(GetParam().workers));
    std::vector<ShardState> states(static_cast<std::size_t>(GetParam().shards));
    const ServedOutcome made =
        train_served({.workers = GetParam().workers,
                      .make_model = quadratic,
                      .make_optimizer =
                          [&](std::int64_t count) { return learning::make_optimizer(spec.optimizer, count); },
                      .training = spec,
                      .data = data},
                     learnt, states);
    const Floats wanted = all_to_all(GetParam().workers, spec, data);
    std::int64_t steps = 0;
    for (const auto& outcome : made.workers) {
      ASSERT_TRUE(*outcome) << (*outcome).error().message;
      EXPECT_EQ((*outcome)->state.parameters, wanted) << name;
      steps = (*outcome)->state.step;
    }
    // k up a worker and step; k n / s down a server and step, besides what rank 0 uploads, which is control.
    const auto k = static_cast<std::uint64_t>(kParameters) * sizeof(float);
    for (const Progress& progress : made.progress) {
      EXPECT_EQ(progress.payload_bytes_sent, k * static_cast<std::uint64_t>(steps));
      EXPECT_EQ(progress.payload_bytes_expected, progress.payload_bytes_sent);
    }
    for (int shard = 0; shard < GetParam().shards; ++shard) {
      EXPECT_TRUE(made.servers[static_cast<std::size_t>(shard)]);
      EXPECT_EQ(made.server_bytes[static_cast<std::size_t>(shard)],
                shard_part(kParameters, shard, GetParam().shards).size * sizeof(float) *
                    static_cast<std::uint64_t>(GetParam().workers) * static_cast<std::uint64_t>(steps));
      // k / s a server and step to its mirror, and at the beginning its part.
      const std::uint64_t part = shard_part(kParameters, shard, GetParam().shards).size;
      const std::uint64_t slots = std::string(name) == "Adam" ? 2 : 1;
      EXPECT_EQ(made.replication_bytes[static_cast<std::size_t>(shard)],
                GetParam().shards == 1
                    ? 0
                    : part_bytes(part, slots) + part * sizeof(float) * static_cast<std::uint64_t>(steps));
    }
  }
}

TEST(ParameterServers, ACheckpointHoldsTheOptimizersStateOfAllServersAndIsResumed) {
  spec::Training spec = training(5, 2);
  spec.checkpoint = spec::Checkpoint{.path = "unused", .every_steps = 3};
  const auto data = dataset(53, 9);
  const auto make_optimizer = [&](std::int64_t count) {
    return learning::make_optimizer(spec.optimizer, count);
  };
  const auto train = [&](std::vector<Learnt> learnt, std::vector<learning::TrainingState>& saved) {
    CheckpointWriter writer([&](const learning::TrainingState& state) {
      saved.push_back(state);
      return Status();
    });
    std::vector<ShardState> states(3);
    auto made = train_served({.workers = 2,
                              .make_model = quadratic,
                              .make_optimizer = make_optimizer,
                              .training = spec,
                              .data = data,
                              .writer = &writer},
                             learnt, states);
    EXPECT_TRUE(*made.workers[0]) << made.workers[0]->error().message;
    return (*made.workers[0])->state;
  };
  std::vector<learning::TrainingState> saved, more;
  const auto whole = train(std::vector<Learnt>(2), saved);
  ASSERT_FALSE(saved.empty());
  EXPECT_EQ(saved[0].step, 3);
  std::vector<Learnt> resumed(2);
  resumed[0].state = saved[0];
  EXPECT_EQ(train(std::move(resumed), more), whole);
  ASSERT_EQ(whole.optimizer.slots.size(), 1U);
  EXPECT_NE(whole.optimizer.slots[0].values, Floats(kParameters, 0.0F));
}

struct Life {
  bool asynchronous;
  int servers;  // 2 and more: one of them is another process after every second membership
};
class Ledger : public testing::TestWithParam<std::tuple<Life, std::uint64_t>> {};
INSTANTIATE_TEST_SUITE_P(Seeds, Ledger,
                         testing::Combine(testing::Values(Life{false, 1}, Life{true, 1}, Life{false, 2},
                                                          Life{true, 2}, Life{false, 3}, Life{true, 3}),
                                          testing::Range<std::uint64_t>(1, 6)),
                         [](const auto& one) {
                           const Life& life = std::get<0>(one.param);
                           return fmt::format("{}{}servers{}",
                                              life.asynchronous ? "Asynchronous" : "Synchronous",
                                              life.servers, std::get<1>(one.param));
                         });

TEST_P(Ledger, EveryExampleCountsOnceAnEpochOverAHundredChangesOfMembershipAndLossesOfSingleServers) {
  constexpr int kEpochs = 40;
  const auto [life, seed] = GetParam();
  SCOPED_TRACE(seed);
  Random random(seed);
  spec::Training training;
  training.batch_size = 3;
  training.epochs = kEpochs;
  training.checkpoint = spec::Checkpoint{.path = "unused", .every_steps = 11};
  CheckpointWriter writer([](const learning::TrainingState&) { return Status(); });
  const learning::Dataset data = one_hot();
  std::vector<Learnt> learnt(3);
  std::vector<ShardState> states(static_cast<std::size_t>(life.servers));
  std::vector<ShardState> copies(states.size());
  int killed = 0;
  ServedJob job{.asynchronous = life.asynchronous,
                .make_model = counting,
                .make_optimizer = counter,
                .training = training,
                .data = data,
                .writer = &writer};
  std::optional<Floats> counts;
  std::optional<learning::Ledger> told;
  for (int change = 0; change < 200 && !counts; ++change) {
    const bool last = change >= 100;
    const auto breaks = static_cast<int>(random.below(learnt.size()));
    const auto after = static_cast<std::int64_t>(random.below(8));
    std::vector<std::int64_t> reports(learnt.size());
    job.hooks = [&](int worker, const std::function<void()>& abort) {
      TrainLoop::Hooks hooks;
      hooks.progress = [&, worker, abort](const Progress& progress, const History&) {
        for (const auto& epoch : progress.ledger.value_or(learning::Ledger()).balances())
          EXPECT_TRUE(epoch.balances()) << epoch.epoch << ": " << epoch.twice << ", " << epoch.missed;
        if (!last && worker == breaks && reports[static_cast<std::size_t>(worker)]++ == after) abort();
      };
      return hooks;
    };
    job.workers = static_cast<int>(learnt.size());
    job.seed = hash_key(seed, static_cast<std::uint64_t>(change));
    const ServedOutcome made = train_served(job, learnt, states, copies);
    for (const auto& outcome : made.workers) {
      if (*outcome) {
        counts = (*outcome)->state.parameters;
        told = (*outcome)->state.ledger;
      } else {
        EXPECT_EQ(outcome->error().code, Code::kAborted) << outcome->error().message;
      }
    }
    if (states.size() > 1 && random.below(2) == 0) {
      const auto lost = static_cast<std::size_t>(random.below(states.size()));
      states[lost] = {};
      copies[lost] = {};
      ++killed;
    }
    ++job.membership;
    while (learnt.size() > 1 && random.below(2) == 0)
      learnt.erase(learnt.begin() + static_cast<std::ptrdiff_t>(random.below(learnt.size())));
    while (learnt.size() < 5 && random.below(2) == 0)
      learnt.insert(learnt.begin() + static_cast<std::ptrdiff_t>(random.below(learnt.size() + 1)), Learnt{});
  }
  ASSERT_TRUE(counts);
  EXPECT_TRUE(states.size() == 1 || killed > 10) << killed;
  EXPECT_GT(job.membership, 20) << "the training should last for most of the changes";
  EXPECT_EQ(*counts, Floats(kExamples, kEpochs));
  ASSERT_TRUE(told && !told->balances().empty());
  EXPECT_EQ(told->balances().back().epoch, kEpochs);
  EXPECT_EQ(told->balances().back().digest, learning::digest_of_all(kExamples));
}

// Whose gradient waits until another has done the rest of the epoch.
class Held final : public learning::Model {
 public:
  struct Gate {
    std::mutex mutex;
    std::condition_variable changed;
    int others = 0;  // gradients of other workers
    int needed = 0;
  };
  Held(Gate& gate, bool waits) : gate_(gate), waits_(waits) {}
  [[nodiscard]] std::span<const learning::Tensor> tensors() const override { return inner_.tensors(); }
  [[nodiscard]] std::int64_t parameter_count() const override { return inner_.parameter_count(); }
  [[nodiscard]] std::vector<float> initial_parameters(std::uint64_t seed) const override {
    return inner_.initial_parameters(seed);
  }
  double gradient(std::span<const float> parameters, const learning::Examples& data,
                  std::span<const std::int64_t> rows, std::span<float> gradient) override {
    {
      std::unique_lock lock(gate_.mutex);
      if (waits_) {
        EXPECT_TRUE(gate_.changed.wait_for(lock, std::chrono::seconds(30),
                                           [&] { return gate_.others >= gate_.needed; }));
      } else {
        ++gate_.others;
        gate_.changed.notify_all();
      }
    }
    return inner_.gradient(parameters, data, rows, gradient);
  }
  learning::Evaluation evaluate(std::span<const float> parameters, const learning::Examples& data) override {
    return inner_.evaluate(parameters, data);
  }

 private:
  CountingModel inner_;
  Gate& gate_;
  bool waits_;
};

TEST(Asynchronous, AWorkerThatStandsInItsFirstBatchHoldsUpNoOther) {
  spec::Training training;
  training.batch_size = 3;
  training.epochs = 1;
  const learning::Dataset data = one_hot();
  std::vector<Learnt> learnt(3);
  std::vector<ShardState> states(2);
  Held::Gate gate;
  gate.needed = (kExamples + 2) / 3 - 1;  // all but the one that it has itself
  const ServedOutcome made =
      train_served({.workers = 3,
                    .asynchronous = true,
                    .make_model = [&](int worker) { return std::make_unique<Held>(gate, worker == 1); },
                    .make_optimizer = counter,
                    .training = training,
                    .data = data},
                   learnt, states);
  for (const auto& outcome : made.workers) {
    ASSERT_TRUE(*outcome) << outcome->error().message;
    EXPECT_EQ((*outcome)->state.parameters, Floats(kExamples, 1));
    EXPECT_EQ((*outcome)->state.step, (kExamples + 2) / 3);
  }
}

TEST(Asynchronous, AStopEndsAllWorkersAfterTheSameStepWithNothingDoneBehindIt) {
  spec::Training training;
  training.batch_size = 3;
  training.epochs = 3;
  const learning::Dataset data = one_hot();
  std::vector<Learnt> learnt(2);
  std::vector<ShardState> states(1);
  const ServedOutcome made =
      train_served({.workers = 2,
                    .asynchronous = true,
                    .make_model = counting,
                    .make_optimizer = counter,
                    .training = training,
                    .data = data,
                    .hooks =
                        [](int worker, const std::function<void()>&) {
                          TrainLoop::Hooks hooks;
                          auto asked = std::make_shared<int>(0);
                          hooks.stop_requested = [worker, asked] { return worker == 1 && ++*asked > 4; };
                          return hooks;
                        }},
                   learnt, states);
  ASSERT_TRUE(*made.workers[0]);
  ASSERT_TRUE(*made.workers[1]);
  const auto& state = (*made.workers[0])->state;
  EXPECT_TRUE((*made.workers[0])->stopped && (*made.workers[1])->stopped);
  EXPECT_EQ(state.step, (*made.workers[1])->state.step);
  EXPECT_EQ(state.parameters, (*made.workers[1])->state.parameters);
  float sum = 0;
  for (const float count : state.parameters) sum += count;
  EXPECT_EQ(sum, static_cast<float>(state.epoch * kExamples + state.examples_into_epoch));
}

}  // namespace
}  // namespace muster::worker::test
