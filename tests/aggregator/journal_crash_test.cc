// tests/aggregator/journal_crash_test.cc: a crash at every boundary of the disk, and again while it recovers
//
// Goal: whatever the instant, an aggregator that goes on ends with the bits of one that was never
// interrupted, and asks nobody again for what it acknowledged. Method: clients that send in a fixed order, so
// that there is one sequence; the run without a crash says how many boundaries there are and what the model
// is; then one run for each boundary, where the process is killed (files stay as they are), or the power goes
// (what was not synced is there, torn, or gone), and then once more a few boundaries later.
#include <gtest/gtest.h>

#include "tests/aggregator/journaled_server.h"

namespace muster::agg {
namespace {

using namespace std::chrono_literals;

enum class Loss { kKill, kPower };

class FixedOrder {
 public:
  explicit FixedOrder(const Federated& setup)
      : setup_(setup), clients_(static_cast<std::size_t>(setup.clients)) {}

  void crash(std::uint64_t boundary, std::uint64_t again, Loss loss, std::uint64_t seed) {
    again_ = again;
    loss_ = loss;
    random_ = Random(seed);
    image_.crash_at(boundary);
  }
  std::vector<float> play() {
    start();
    for (int steps = 0; server_->round() < setup_.rounds; ++steps) {
      EXPECT_LT(steps, 1'000) << "it does not end";
      if (steps >= 1'000) return {};
      try {
        turn();
      } catch (const DiskImage::Crash&) {
        lose();
        start();
      }
    }
    std::map<std::string, int> counted;
    for (const auto& [round, ids] : seen_.taken)
      for (const std::string& id : ids) ++counted[id];
    for (const std::string& id : acknowledged_) {
      EXPECT_LE(counted[id], 1) << id;
      if (rounds()) {
        EXPECT_EQ(counted[id], 1) << id << " was acknowledged";
      }
    }
    EXPECT_EQ(server_->model(), uninterrupted(setup_, seen_, setup_.rounds));
    return server_->model();
  }
  [[nodiscard]] std::uint64_t boundaries() const { return image_.boundaries(); }
  [[nodiscard]] int trained() const { return trained_; }
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
    for (std::size_t at = 0; at < clients_.size(); ++at) {
      Client& client = clients_[at];
      if (client.task.empty()) continue;
      switch (server_->machine().judge(client.task, now_)) {
        case Judgement::kFold: break;
        case Judgement::kAlreadyCounted: acknowledge(at); break;
        default: client = {};
      }
    }
  }
  void lose() {
    server_.reset();
    if (loss_ == Loss::kPower) image_.lose_power(random_);
    image_.crash_at(std::exchange(again_, 0));
  }

  void turn() {
    server_->set_now(now_);
    for (std::size_t i = 0; i < clients_.size(); ++i)
      if (clients_[i].task.empty()) std::ignore = server_->feed(CheckedIn{static_cast<ClientId>(i)});
    for (const AssignTask& task : server_->given()) {
      EXPECT_FALSE(acknowledged_.contains(task.task_id)) << "client " << task.client << " is asked again";
      if (rounds()) {
        EXPECT_FALSE(gave_.contains({task.client, task.round})) << "client " << task.client;
      }
      Client& client = clients_[static_cast<std::size_t>(task.client)];
      if (client.task != task.task_id) client = {.task = task.task_id, .trained = false, .delta = {}};
    }
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      const std::size_t at = (turn_ + i) % clients_.size();
      if (clients_[at].task.empty()) continue;
      serve(at);
      if (++served_ % 2 == 0) server_->save_newest();
      return;
    }
    now_ += 1s;
    server_->set_now(now_);
    std::ignore = server_->feed(Tick{});
  }

  void serve(std::size_t at) {
    Client& client = clients_[at];
    if (!client.trained) {
      server_->fetch(client.task);
      train(client, static_cast<float>(at + 1));
    }
    const std::int64_t number = server_->machine().known(client.task)->number;
    ASSERT_TRUE(server_->arrive(client.task, client.delta));
    const auto accepted = server_->fold_waiting();
    ASSERT_EQ(accepted, std::vector<std::string>{client.task});
    gave_.emplace(static_cast<ClientId>(at), number);
    acknowledge(at);
  }
  void train(Client& client, float of_client) {
    client.delta.resize(kValues);
    for (std::size_t i = 0; i < kValues; ++i)
      client.delta[i] = 0.1F * of_client - 0.03F * server_->model()[i] * static_cast<float>(i + 1);
    client.trained = true;
    ++trained_;
  }
  void acknowledge(std::size_t at) {
    acknowledged_.insert(clients_[at].task);
    clients_[at] = {};
    turn_ = at + 1;
  }
  [[nodiscard]] bool rounds() const { return spec::needs_of(setup_.strategy).rounds; }

  const Federated& setup_;
  DiskImage image_;
  Checkpoint checkpoint_;
  Seen seen_;
  std::vector<Client> clients_;
  std::optional<JournaledServer> server_;
  Instant now_{1h};
  int names_ = 0;
  std::uint64_t again_ = 0;
  Loss loss_ = Loss::kKill;
  Random random_{1};
  std::size_t turn_ = 0;
  int served_ = 0;
  int trained_ = 0;
  std::set<std::string> acknowledged_;
  std::set<std::pair<ClientId, std::int64_t>> gave_;  // client and round
};

Federated setup_of(spec::Strategy strategy) {
  Federated setup{.strategy = std::move(strategy), .clients = 3, .rounds = 4, .round = RoundOptions()};
  setup.round.size = 3;
  setup.round.selected = 3;
  setup.round.minimum = 3;
  setup.round.report_deadline = 600s;
  return setup;
}

class JournalCrash : public testing::TestWithParam<spec::Strategy> {};

TEST_P(JournalCrash, AtEveryBoundaryEndsWithTheSameBitsAndAsksNobodyAgain) {
  for (const std::uint64_t file_bytes : {std::uint64_t{0}, std::uint64_t{1} << 20}) {
    Federated setup = setup_of(GetParam());
    setup.file_bytes = file_bytes;  // a file a round, or one for all
    FixedOrder undisturbed(setup);
    const std::vector<float> model = undisturbed.play();
    ASSERT_EQ(model.size(), kValues);
    const std::uint64_t boundaries = undisturbed.boundaries();
    ASSERT_GT(boundaries, 100U);
    int recovered = 0;
    for (std::uint64_t boundary = 1; boundary <= boundaries; ++boundary) {
      for (const Loss loss : {Loss::kKill, Loss::kPower}) {
        SCOPED_TRACE(testing::Message()
                     << "boundary " << boundary << (loss == Loss::kPower ? ", power" : ", kill")
                     << ", files of " << file_bytes);
        FixedOrder run(setup);
        run.crash(boundary, 1 + boundary % 13, loss, boundary);
        const std::vector<float> ended = run.play();
        // Without rounds a task that the power took is followed by another, which is of another version: it
        // is another sequence then.
        if (loss == Loss::kKill || GetParam().name != "FedBuff") {
          EXPECT_EQ(ended, model);
        }
        // A task whose record was not whole is given anew; that is at most one, twice.
        if (loss == Loss::kKill) {
          EXPECT_LE(run.trained(), undisturbed.trained() + 2);
        }
        if (HasFailure()) return;
        recovered += run.recovered();
      }
    }
    EXPECT_GT(recovered, 100) << "the journal was hardly ever needed";
  }
}

INSTANTIATE_TEST_SUITE_P(Strategies, JournalCrash,
                         testing::Values(spec::Strategy{.name = "FedAvg"}, spec::Strategy{.name = "FedAvgM"},
                                         spec::Strategy{.name = "Nesterov"},
                                         spec::Strategy{.name = "FedAdam", .learning_rate = 0.1},
                                         spec::Strategy{.name = "FedYogi", .learning_rate = 0.1},
                                         spec::Strategy{.name = "FedAdagrad", .learning_rate = 0.1},
                                         spec::Strategy{.name = "SCAFFOLD"}, spec::Strategy{.name = "Median"},
                                         spec::Strategy{.name = "Scoring"},
                                         spec::Strategy{.name = "QFedAvg", .q = 1},
                                         spec::Strategy{.name = "FedBuff", .buffer_size = 2}),
                         [](const auto& name) { return name.param.name; });

}  // namespace
}  // namespace muster::agg
