// tests/worker/overlap_training_test.cc: whole trainings of a real model whose gradients are summed bucket by
// bucket, against the same without
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "tests/learning/examples.h"
#include "tests/worker/mesh_support.h"
#include "worker/engine/train_loop.h"
#include "worker/parallel/bucket_plan.h"
#include "worker/parallel/data_parallel.h"
#include "worker/parallel/gradient_sum.h"

namespace muster::worker::test {
namespace {

const spec::Model kModel{.name = "mlp", .hidden = {24, 16}};

// 34 rows a rank and step, which are more than pass through the model together; the last step of an epoch has
// one, so that all ranks but one have none.
constexpr std::int64_t kBatch = 34;
constexpr std::int64_t kStepsOfEpoch = 3;

learning::Dataset data_for(int ranks) {
  learning::Dataset data;
  data.train = learning::bright_bands((kStepsOfEpoch - 1) * kBatch * ranks + 1);
  data.test = learning::bright_bands(20, 12, 4, 2);
  data.digest = "bands";
  return data;
}

spec::Training training() {
  spec::Training made;
  made.model = kModel;
  made.batch_size = kBatch;
  made.epochs = 3;
  made.seed = 5;
  made.optimizer.learning_rate = 0.05;
  made.optimizer.momentum = 0.9;
  made.checkpoint = spec::Checkpoint{.path = "unused", .every_steps = 4, .keep = 1};
  return made;
}

// The model as it is, or one that does not tell what is final; breaks the mesh in the midst of a gradient.
class Observed final : public learning::Model {
 public:
  explicit Observed(bool tells) : tells_(tells), inner_(*learning::make_model(kModel, data_for(1).train)) {}
  [[nodiscard]] std::span<const learning::Tensor> tensors() const override { return inner_->tensors(); }
  [[nodiscard]] std::int64_t parameter_count() const override { return inner_->parameter_count(); }
  [[nodiscard]] std::vector<float> initial_parameters(std::uint64_t seed) const override {
    return inner_->initial_parameters(seed);
  }
  double gradient(std::span<const float> parameters, const learning::Examples& data,
                  std::span<const std::int64_t> rows, std::span<float> gradient) override {
    return inner_->gradient(parameters, data, rows, gradient);
  }
  double gradient_by_parts(std::span<const float> parameters, const learning::Examples& data,
                           std::span<const std::int64_t> rows, std::span<float> gradient,
                           const Ready& ready) override {
    ++gradients_;
    if (!tells_ || !ready) return inner_->gradient(parameters, data, rows, gradient);
    int parts = 0;
    const double loss =
        inner_->gradient_by_parts(parameters, data, rows, gradient, [&](std::size_t first, std::size_t size) {
          ready(first, size);
          ++told;
          if (++parts == 2 && gradients_ == breaks_in) on_break();
        });
    if (reads_own) {
      std::vector<float> own(gradient.size());
      static_cast<void>(inner_->gradient(parameters, data, rows, own));
      EXPECT_EQ(std::memcmp(own.data(), gradient.data(), gradient.size_bytes()), 0);
    }
    return loss;
  }
  learning::Evaluation evaluate(std::span<const float> parameters, const learning::Examples& data) override {
    return inner_->evaluate(parameters, data);
  }

  int told = 0;            // parts
  bool reads_own = false;  // its gradient is there until the exchange, whatever of it is on its way
  int breaks_in = -1;
  std::function<void()> on_break{};

 private:
  bool tells_;
  std::unique_ptr<learning::Model> inner_;
  int gradients_ = 0;
};

struct Way {
  Topology topology = Topology::kRing;
  bool buckets = false;
  bool tells = true;
  DataParallel::Memory memory = DataParallel::Memory::kOwn;
  int breaks_in = -1;  // gradient of the last rank
};

struct Ended {
  bool whole = true;
  std::vector<Learnt> learnt;                    // of each rank
  std::vector<learning::TrainingState> saved{};  // by rank 0
  int told = 0;
};

// One membership of as many ranks as bring something.
Ended train(const learning::Dataset& data, const Way& way, std::vector<Learnt> bring,
            std::int64_t membership = 1) {
  const int size = static_cast<int>(bring.size());
  auto group = collectives(size == 1 ? std::vector<std::unique_ptr<Mesh>>()
                                     : memory_mesh(size, static_cast<std::uint64_t>(membership)),
                           way.topology);
  Ended ended{.learnt = std::move(bring)};
  std::atomic<int> told = 0;
  std::atomic<bool> whole = true;
  on_all_ranks(size, [&](int rank) {
    Collective& collective = *group[static_cast<std::size_t>(rank)];
    Learnt& learnt = ended.learnt[static_cast<std::size_t>(rank)];
    Observed model(way.tells);
    if (rank == size - 1) model.breaks_in = way.breaks_in;
    model.reads_own = way.memory == DataParallel::Memory::kShared;
    model.on_break = [&] { collective.abort(); };
    const auto optimizer = learning::make_optimizer(training().optimizer, model.parameter_count());
    const auto sum = dense_sum(collective, {});
    std::vector<Bucket> plan;
    if (way.buckets) plan = plan_buckets(model.tensors(), {.elements = 1, .least = 0});
    EXPECT_TRUE(!way.buckets || plan.size() >= 3);
    DataParallel parallel({collective, *sum, *optimizer}, std::chrono::seconds(60), plan, way.memory);
    CheckpointWriter writer([&](const learning::TrainingState& state) {
      ended.saved.push_back(state);
      return Status();
    });
    TrainLoop::Hooks hooks;
    hooks.now = [] { return Instant{}; };  // no time passes, so that states are equal
    const spec::Training spec = training();
    TrainLoop loop({.collective = collective,
                    .model = model,
                    .synchronizer = parallel,
                    .training = spec,
                    .data = data,
                    .writer = rank == 0 ? &writer : nullptr},
                   {.membership = membership,
                    .timeout = std::chrono::seconds(60),
                    .start_timeout = std::chrono::seconds(60),
                    .least_patience = std::nullopt,  // the machine may be slow
                    .checkpoint_patience = std::chrono::seconds(60)},
                   hooks);
    auto outcome = loop.run(std::move(learnt));
    told += model.told;
    if (outcome) {
      learnt = {.state = std::move(outcome->state), .membership = membership};
    } else {
      whole = false;
      EXPECT_EQ(outcome.error().code, Code::kAborted) << outcome.error().message;
      learnt = loop.learnt();
    }
  });
  ended.told = told;
  ended.whole = whole;
  return ended;
}

std::vector<Learnt> nothing(int ranks) { return std::vector<Learnt>(static_cast<std::size_t>(ranks)); }

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

void expect_same(const Ended& one, const Ended& other) {
  ASSERT_TRUE(one.whole && other.whole);
  const learning::TrainingState& wanted = *other.learnt[0].state;
  EXPECT_EQ(wanted.step, 3 * kStepsOfEpoch);
  for (const Learnt& learnt : one.learnt) {
    const learning::TrainingState& state = *learnt.state;
    EXPECT_TRUE(same_bits(state.parameters, wanted.parameters));
    ASSERT_EQ(state.optimizer.slots.size(), wanted.optimizer.slots.size());
    for (std::size_t i = 0; i < state.optimizer.slots.size(); ++i)
      EXPECT_TRUE(same_bits(state.optimizer.slots[i].values, wanted.optimizer.slots[i].values));
    EXPECT_EQ(state.step, wanted.step);
    EXPECT_EQ(state.history, wanted.history);
    ASSERT_TRUE(state.ledger);
    EXPECT_EQ(state.ledger, wanted.ledger);
    ASSERT_EQ(state.ledger->balances().size(), 3U);
    for (const auto& balance : state.ledger->balances()) EXPECT_TRUE(balance.balances()) << balance.epoch;
  }
}

// In a tree each element is summed in the same order, wherever it lies: buckets change no bit. With two ranks
// that is so in any topology, and with one there is nothing to sum.
TEST(OverlapTraining, BucketsEndWithTheBitsOfOneSum) {
  for (const auto& [ranks, topology] :
       {std::pair(1, Topology::kRing), std::pair(2, Topology::kRing),
        std::pair(2, Topology::kHalvingDoubling), std::pair(3, Topology::kTree)}) {
    SCOPED_TRACE(fmt::format("{} ranks, {}", ranks, name_of(topology)));
    const auto data = data_for(ranks);
    const Ended buckets = train(data, {.topology = topology, .buckets = true}, nothing(ranks));
    EXPECT_EQ(buckets.told > 0, ranks > 1) << "the model tells what is final";
    expect_same(buckets, train(data, {.topology = topology}, nothing(ranks)));
  }
}

// In a ring the order of an element's sum depends on its place in the bucket; not on when the sum is made.
TEST(OverlapTraining, SumsBesideTheGradientEndWithTheBitsOfSumsBehindIt) {
  for (const Topology topology : kTopologies) {
    SCOPED_TRACE(name_of(topology));
    const auto data = data_for(3);
    const Ended beside = train(data, {.topology = topology, .buckets = true}, nothing(3));
    EXPECT_GT(beside.told, 0);
    const Ended behind = train(data, {.topology = topology, .buckets = true, .tells = false}, nothing(3));
    expect_same(beside, behind);
    expect_same(train(data, {.topology = topology, .buckets = true, .memory = DataParallel::Memory::kShared},
                      nothing(3)),
                behind);
  }
}

TEST(OverlapTraining, AMeshThatBreaksInTheMidstOfAGradientLosesThatStepAlone) {
  const auto data = data_for(3);
  const Ended undisturbed = train(data, {.buckets = true}, nothing(3));
  for (const int gradient : {1, 2, 4}) {
    SCOPED_TRACE(gradient);
    Ended broken = train(data, {.buckets = true, .breaks_in = gradient}, nothing(3));
    ASSERT_FALSE(broken.whole);
    for (const Learnt& learnt : broken.learnt) {
      if (gradient == 1 && !learnt.state) continue;
      ASSERT_TRUE(learnt.state);
      EXPECT_LE(std::abs(learnt.state->step - broken.learnt[0].state->step), 1)
          << "of half a step nothing is kept; some may still be in the one before";
      EXPECT_LT(learnt.state->step, 3 * kStepsOfEpoch);
    }
    expect_same(train(data, {.buckets = true}, std::move(broken.learnt), 2), undisturbed);
  }
}

TEST(OverlapTraining, AResumedOneEndsWithTheSameBits) {
  const auto data = data_for(2);
  const Ended whole = train(data, {}, nothing(2));
  ASSERT_EQ(whole.saved.size(), 2U) << "steps 4 and 8";
  for (const auto& saved : whole.saved) {
    SCOPED_TRACE(saved.step);
    auto bring = nothing(2);
    bring[0].state = saved;
    expect_same(train(data, {.buckets = true}, std::move(bring)), whole);
  }
}

}  // namespace
}  // namespace muster::worker::test
