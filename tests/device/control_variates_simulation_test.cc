// tests/device/control_variates_simulation_test.cc: SCAFFOLD's one invariant under drops, late updates and
// kills of both ends, by seed
//
// Goal: c is the mean of all c_i after any history. Method: the real round machine, counted updates, server
// and client states, without threads or network: each step one thing happens, drawn by the seed, or one of
// the two is killed, the aggregator also between the end of a round and its save, and after the save.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <optional>
#include <string>

#include "aggregator/round/counted.h"
#include "aggregator/round/round.h"
#include "aggregator/strategy/scaffold.h"
#include "common/base/random.h"
#include "device/client_states.h"
#include "learning/control_variate.h"

namespace muster {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kParameters = 3;
constexpr std::int64_t kClients = 7;
constexpr double kRate = 0.05;

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) { start(); }

  void play(std::int64_t rounds) {
    for (int step = 0; saved_.round < rounds; ++step) {
      ASSERT_LT(step, 100'000) << "it does not come to " << rounds << " rounds";
      now_ += std::chrono::milliseconds(random_.below(200));
      feed(agg::Tick{});
      const std::uint64_t what = random_.below(100);
      const auto client = static_cast<std::int32_t>(random_.below(kClients));
      if (what < 1) {
        ++kills_;
        start();
      } else if (what < 2) {
        tasks_.erase(client);  // its process ends, with what it had trained
      } else if (const auto task = tasks_.find(client); task == tasks_.end()) {
        feed(agg::CheckedIn{client});
      } else if (!task->second.trained) {
        train(client, task->second);
      } else if (what < 80) {
        upload(client, task->second);
        tasks_.erase(client);
      }
    }
  }

  // Of each value the largest.
  double distance() {
    std::vector<double> mean(kParameters);
    for (std::int32_t client = 0; client < kClients; ++client) {
      const auto settled = states_.settle(client, saved_.counted[static_cast<std::size_t>(client)]);
      EXPECT_FALSE(settled->lost) << "client " << client;
      for (std::size_t i = 0; i < settled->values.size(); ++i)
        mean[i] += static_cast<double>(settled->values[i]) / kClients;
    }
    double most = 0;
    for (std::size_t i = 0; i < kParameters; ++i)
      most = std::max(most, std::abs(mean[i] - static_cast<double>(saved_.control[i])));
    return most;
  }
  [[nodiscard]] int kills() const { return kills_; }
  [[nodiscard]] int late() const { return late_; }

 private:
  struct Task {
    std::string id;
    std::int64_t round = 0;
    std::int64_t counted = 0;  // as it was told with the task
    bool trained = false;
    std::vector<float> model, control;
    std::vector<float> delta = {}, change = {};
  };
  struct Saved {
    std::int64_t round = 0;
    std::vector<float> model = std::vector<float>(kParameters, 1.0F);
    std::vector<float> control = std::vector<float>(kParameters);
    std::vector<std::int64_t> counted = std::vector<std::int64_t>(kClients);
  };

  // An aggregator from what is saved. The clients know nothing of it.
  void start() {
    machine_.emplace(agg::RoundOptions{.rounds = 1'000,
                                       .first_round = saved_.round + 1,
                                       .clients = kClients,
                                       .size = 3,
                                       .selected = 5,
                                       .minimum = 2,
                                       .seed = random_.below(1'000),
                                       .new_task_id = [this] { return std::to_string(++names_); },
                                       .selection_grace = 300ms,
                                       .selection_timeout = 2s,
                                       .report_deadline = 3s,
                                       .failures_max = 1'000},
                     now_);
    counted_.emplace(saved_.counted);
    server_.emplace(kParameters, kClients, 1.0);
    ASSERT_TRUE(server_->restore({{"c", saved_.control}}));
    model_ = saved_.model;
  }

  void feed(const agg::Event& event) {
    auto effects = machine_->step(event, now_);
    if (!effects) return;
    for (const agg::Effect& effect : *effects) {
      if (const auto* task = std::get_if<agg::AssignTask>(&effect)) {
        tasks_[task->client] = {.id = task->task_id,
                                .round = task->round,
                                .counted = counted_->last(task->client),
                                .model = model_,
                                .control = *server_->broadcast()};
      } else if (std::holds_alternative<agg::AbandonRound>(effect)) {
        server_->discard();
        counted_->discarded();
      } else if (std::holds_alternative<agg::CommitRound>(effect)) {
        return commit();
      }
    }
  }

  // Sealed, finished, saved, in place: a kill may come before each.
  void commit() {
    const auto killed = [this] { return random_.below(20) == 0 && (++kills_, start(), true); };
    if (killed()) return;
    counted_->sealed();
    auto next = server_->finish(model_);
    ASSERT_TRUE(next);
    if (killed()) return;
    saved_ = {.round = machine_->round(),
              .model = *next,
              .control = *server_->broadcast(),
              .counted = counted_->with_sealed()};
    if (killed()) return;
    model_ = std::move(*next);
    counted_->committed();
    feed(agg::Committed{});
  }

  void train(std::int32_t client, Task& task) {
    const auto settled = states_.settle(client, task.counted);
    EXPECT_FALSE(settled->lost) << "client " << client << " round " << task.round;
    std::vector<float> own = settled->values;
    const auto steps = static_cast<std::int64_t>(1 + random_.below(4));
    std::vector<float> y = task.model;
    for (std::int64_t step = 0; step < steps; ++step) {
      std::vector<float> gradient(kParameters);
      for (std::size_t i = 0; i < kParameters; ++i)
        gradient[i] = static_cast<float>(1 + client % 3) * (y[i] - static_cast<float>(client + 1) / 4);
      learning::correct_gradient<float>(gradient, task.control, own);
      for (std::size_t i = 0; i < kParameters; ++i) y[i] -= static_cast<float>(kRate) * gradient[i];
    }
    task.delta.resize(kParameters);
    for (std::size_t i = 0; i < kParameters; ++i) task.delta[i] = y[i] - task.model[i];
    task.change.resize(kParameters);
    learning::control_change<float>(task.delta, task.control, steps, kRate, task.change);
    own.resize(kParameters);
    for (std::size_t i = 0; i < kParameters; ++i) own[i] += task.change[i];
    ASSERT_TRUE(states_.propose(client, task.round, own));
    task.trained = true;
  }

  void upload(std::int32_t client, const Task& task) {
    if (machine_->judge(task.id, now_) != agg::Judgement::kFold) {
      if (machine_->known(task.id)) {
        ++late_;
        feed(agg::Lapsed{task.id});
      }
      return;
    }
    feed(agg::Arrived{task.id});
    ASSERT_TRUE(
        server_->take({.client = client, .delta = task.delta, .examples = 1, .control_change = task.change}));
    counted_->taken(client, task.round);
    feed(agg::Reported{task.id});
  }

  Random random_;
  Instant now_{1h};
  int names_ = 0;
  int kills_ = 0;
  int late_ = 0;
  Saved saved_;
  std::vector<float> model_;
  std::optional<agg::RoundMachine> machine_;
  std::optional<agg::CountedUpdates> counted_;
  std::optional<agg::Scaffold> server_;
  device::MemoryStates states_;  // as files: they outlive their processes
  std::map<std::int32_t, Task> tasks_;
};

TEST(ControlVariates, AreTheirMeanAfterAnyHistory) {
  int kills = 0;
  int late = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    World world(seed);
    world.play(50);
    if (HasFatalFailure()) return;
    EXPECT_LE(world.distance(), 1e-6);
    if (HasFailure()) return;
    kills += world.kills();
    late += world.late();
  }
  EXPECT_GT(kills, 1000) << "the simulation kills too seldom to show anything";
  EXPECT_GT(late, 1000);
}

}  // namespace
}  // namespace muster
