// tests/aggregator/journal_simulation_test.cc: federations under kills, losses of power, full disks, late and
// refused updates, by seed
//
// Goal: exactly once, and never stuck. Method: the real machines, strategies and journal; each step one thing
// happens, drawn by the seed. After each run: every update that was acknowledged is in one round, or its
// round came to nothing; none is in two; the model has the bits of an aggregator that was never interrupted
// and was given that sequence; and nobody ever saw two models of one round (JournaledServer::publish).
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>

#include "tests/aggregator/journaled_server.h"

namespace muster::agg {
namespace {

using namespace std::chrono_literals;

Federated random_setup(Random& random) {
  static const std::vector<spec::Strategy> kStrategies = {
      {.name = "FedAvg"},   {.name = "FedAvgM"}, {.name = "FedYogi", .learning_rate = 0.1},
      {.name = "SCAFFOLD"}, {.name = "Median"},  {.name = "FedBuff", .buffer_size = 3},
      {.name = "FedBuff"},  {.name = "Scoring"}};
  Federated setup{.strategy = kStrategies[random.below(kStrategies.size())],
                  .clients = static_cast<std::int64_t>(3 + random.below(5)),
                  .rounds = 12,
                  .round = RoundOptions()};
  if (setup.strategy.name == "FedBuff")
    setup.strategy.buffer_size = 1 + static_cast<std::int64_t>(random.below(4));
  setup.round.size = 1 + static_cast<std::int64_t>(random.below(3));
  if (setup.strategy.name == "Median") setup.round.size = 3;
  setup.round.selected = setup.round.size + static_cast<std::int64_t>(random.below(2));
  setup.round.selected = std::min(setup.round.selected, setup.clients);
  setup.round.minimum =
      1 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(setup.round.size)));
  if (setup.strategy.name == "Median") setup.round.minimum = 3;
  setup.round.late_counts = setup.strategy.name == "FedAvg" && random.below(2) == 0;
  setup.round.selection_grace = 300ms;
  setup.round.selection_timeout = 2s;
  setup.round.report_deadline = 3s;
  setup.file_bytes = random.below(2) == 0 ? 0 : 4096;
  return setup;
}

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed), setup_(random_setup(random_)) {}

  void play() {
    start();
    for (int step = 0; !server_->machine().over(); ++step) {
      ASSERT_LT(step, 200'000) << "it does not end";
      now_ += std::chrono::milliseconds(random_.below(150));
      server_->set_now(now_);
      try {
        one_thing();
      } catch (const DiskImage::Crash&) {
        lose();
        start();
      }
      if (testing::Test::HasFailure()) return;
    }
    check();
  }
  int kills = 0;
  int losses = 0;
  int sent_back = 0;
  int late = 0;
  int discarded = 0;
  [[nodiscard]] int recovered() const { return seen_.recovered; }

 private:
  struct Client {
    std::string task;
    bool trained = false;
    std::vector<float> delta;
  };

  void start() {
    while (true) {
      try {
        server_.emplace(setup_, image_, checkpoint_, seen_, now_,
                        [this] { return std::to_string(++names_); });
        break;
      } catch (const DiskImage::Crash&) {
        lose();
      }
    }
    crash_later();
  }
  void crash_later() { image_.crash_at(1 + random_.below(400)); }
  void lose() {
    server_.reset();
    ++kills;
    if (random_.below(3) == 0) {
      ++losses;
      image_.lose_power(random_);
      // A round that was closed a moment before may be closed anew: nothing that was acknowledged builds on
      // it.
      seen_.published.erase(seen_.published.upper_bound(seen_.durable), seen_.published.end());
    }
    image_.capacity = ~std::uint64_t{0};
    crash_later();
  }

  void one_thing() {
    std::ignore = server_->feed(Tick{});
    take_tasks();
    const std::uint64_t what = random_.below(100);
    const auto client = static_cast<ClientId>(random_.below(static_cast<std::uint64_t>(setup_.clients)));
    Client& it = clients_[client];
    if (what < 3) {
      it = {};  // its process ends
    } else if (what < 6) {
      server_->save_newest();
    } else if (what < 30) {
      answer();
    } else if (it.task.empty()) {
      std::ignore = server_->feed(CheckedIn{client});
    } else if (!it.trained) {
      train(client, it);
    } else {
      upload(it);
    }
  }
  void take_tasks() {
    for (const AssignTask& task : server_->given()) {
      EXPECT_FALSE(acknowledged_.contains(task.task_id)) << "client " << task.client << " is asked again";
      if (clients_[task.client].task != task.task_id)
        clients_[task.client] = {.task = task.task_id, .trained = false, .delta = {}};
    }
  }
  void train(ClientId client, Client& it) {
    const auto task = server_->machine().known(it.task);
    if (!task) {
      it = {};
      return;
    }
    if (random_.below(12) == 0) {
      if (server_->machine().judge(it.task, now_) == Judgement::kFold) server_->refuse(it.task);
      it = {};
      return;
    }
    server_->fetch(it.task);
    it.delta.resize(kValues);
    for (std::size_t i = 0; i < kValues; ++i)
      it.delta[i] = static_cast<float>(random_.uniform() - 0.5) + 0.1F * static_cast<float>(client);
    it.trained = true;
  }
  void upload(Client& it) {
    switch (server_->machine().judge(it.task, now_)) {
      case Judgement::kFold: {
        if (random_.below(10) == 0) image_.capacity = image_.used() + random_.below(600);
        const bool kept = server_->arrive(it.task, it.delta);
        image_.capacity = ~std::uint64_t{0};
        if (!kept) ++sent_back;
        break;
      }
      case Judgement::kBeingFolded: break;
      case Judgement::kAlreadyCounted:  // the answer was lost with a process
        acknowledged_.insert(it.task);
        it = {};
        break;
      default:
        ++late;
        std::ignore = server_->feed(Lapsed{it.task});
        EXPECT_FALSE(acknowledged_.contains(it.task));
        it = {};
    }
  }
  void answer() {
    for (const std::string& id : server_->fold_waiting()) {
      acknowledged_.insert(id);
      for (auto& [client, it] : clients_)
        if (it.task == id) it = {};
    }
  }

  void check() {
    std::map<std::string, int> counted;
    const std::int64_t last = server_->round();
    for (const auto& [round, ids] : seen_.taken) {
      if (round > last) continue;
      for (const std::string& id : ids) ++counted[id];
    }
    int lost = 0;
    for (const std::string& id : acknowledged_) {
      EXPECT_LE(counted[id], 1) << id;
      if (counted[id] == 0 && !seen_.discarded.contains(id)) ++lost;
    }
    // What is in the aggregate when the last round is in place has no round to be in.
    const bool late_counts = setup_.round.late_counts || !spec::needs_of(setup_.strategy).rounds;
    EXPECT_LE(lost, late_counts ? setup_.clients + setup_.strategy.buffer_size : 0);
    EXPECT_EQ(server_->model(), uninterrupted(setup_, seen_, last));
    discarded = static_cast<int>(seen_.discarded.size());
  }

  Random random_;
  const Federated setup_;
  DiskImage image_;
  Checkpoint checkpoint_;
  Seen seen_;
  std::map<ClientId, Client> clients_;
  std::set<std::string> acknowledged_;
  std::optional<JournaledServer> server_;
  Instant now_{1h};
  int names_ = 0;
};

TEST(JournalSimulation, EachAcknowledgedUpdateCountsOnceThroughAnyHistory) {
  const char* const told = std::getenv("MUSTER_JOURNAL_SEED");  // of a run that failed
  const std::uint64_t first = told != nullptr ? std::strtoull(told, nullptr, 10) : std::random_device()();
  std::cout << "seeds " << first << " to " << first + 299 << '\n';
  int kills = 0;
  int losses = 0;
  int sent_back = 0;
  int late = 0;
  int recovered = 0;
  for (std::uint64_t seed = first; seed < first + 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    World world(seed);
    world.play();
    if (HasFailure()) return;
    kills += world.kills;
    losses += world.losses;
    sent_back += world.sent_back;
    late += world.late;
    recovered += world.recovered();
  }
  std::cout << kills << " ends of a process, " << losses << " of them by a loss of power; " << recovered
            << " updates recovered, " << sent_back << " sent back, " << late << " late\n";
  EXPECT_GT(kills, 300);
  EXPECT_GT(losses, 100);
  EXPECT_GT(sent_back, 100);
  EXPECT_GT(recovered, 300);
  EXPECT_GT(late, 100);
}

}  // namespace
}  // namespace muster::agg
