// tests/device/federation_strategy_test.cc: strategies over the real protocol: what a restart keeps
#include "pod/pod_contract.h"
#include "tests/device/federation_fixture.h"

namespace muster {
namespace {

class FederationStrategy : public FederationFixture {
 protected:
  FederationStrategy() {
    options_.federation.clients = 2;
    options_.federation.cohort = {.size = 2, .over_selection = 1.0, .minimum = 2};
    start_.parameters.assign(kParameters, 0.5F);
  }
  // A value that every client adds to each parameter, every round.
  using Says = std::function<float(std::int32_t client)>;
  std::unique_ptr<device::Fleet> fleet_of(std::int32_t clients, Says says) {
    return device::Fleet::start(
        {.aggregator = address_,
         .credentials = pki_.of_pod("client", 0, "uid"),
         .clients = clients,
         .parameter_count = kParameters,
         .parallel_clients = 2},
        [says = std::move(says)](int, std::int32_t client, const device::TaskTicket&, std::span<const float>,
                                 const auto&) {
          return Result<learning::LocalUpdate>(
              {.delta = std::vector<float>(kParameters, says(client)), .examples = 1});
        });
  }
  // Rounds up to `rounds`, from what was saved before, in a process of its own; its last model.
  std::vector<float> play(std::int64_t rounds) {
    options_.federation.rounds = rounds;
    start();
    std::vector<float> model;
    const auto fleet = device::Fleet::start(
        {.aggregator = address_,
         .credentials = pki_.of_pod("client", 0, "uid"),
         .clients = 2,
         .parameter_count = kParameters,
         .parallel_clients = 2},
        [mu = options_.federation.strategy.mu](int, std::int32_t client, const device::TaskTicket& task,
                                               std::span<const float> global, const auto&) {
          EXPECT_EQ(task.settings.proximal_mu, mu);
          learning::LocalUpdate update;  // exact in any order of arrival
          update.delta.resize(global.size());
          for (std::size_t i = 0; i < global.size(); ++i)
            update.delta[i] =
                static_cast<float>((static_cast<std::int64_t>(i) + task.round) % 7 - 3 + client);
          update.examples = 4;
          return Result<learning::LocalUpdate>(std::move(update));
        });
    const auto outcome = coordinator_->wait_outcome(60s);
    EXPECT_TRUE(outcome && outcome->exit_code == 0) << (outcome ? outcome->message : "it goes on");
    model = coordinator_->committed().model->values;
    start_ = saved_;
    saved_.state.clear();
    server_.reset();
    coordinator_.reset();
    return model;
  }
};

TEST_F(FederationStrategy, ARestartedAggregatorGoesOnWithTheSameBits) {
  for (const spec::Strategy& strategy : std::initializer_list<spec::Strategy>{
           {.name = "FedAvgM"}, {.name = "FedYogi", .learning_rate = 0.1}}) {
    const agg::CommittedRound beginning = start_;
    options_.federation.strategy = strategy;
    const std::vector<float> uninterrupted = play(6);
    const auto state = start_.state;
    EXPECT_EQ(state.size(), strategy.name == "FedYogi" ? 2U : 1U);
    start_ = beginning;
    static_cast<void>(play(2));
    static_cast<void>(play(5));
    EXPECT_EQ(play(6), uninterrupted) << strategy.name;
    EXPECT_EQ(start_.state, state) << strategy.name;
    start_ = beginning;
  }
}

TEST_F(FederationStrategy, ItsSettingsComeWithEveryTask) {
  options_.federation.strategy = {.name = "FedProx", .mu = 0.25};
  start();
  for (const Task& task : begin_round()) {
    EXPECT_EQ(task.settings().proximal_mu(), 0.25);
    EXPECT_FALSE(task.settings().has_fairness_q());
  }
}

TEST_F(FederationStrategy, ClientsOfPerFedAvgAreToldHowTheyAdapt) {
  options_.federation.strategy = {
      .name = "PerFedAvg", .inner_learning_rate = 0.125, .hessian = "HessianFree"};
  start();
  for (const Task& task : begin_round()) {
    EXPECT_EQ(task.settings().meta().alpha(), 0.125);
    EXPECT_TRUE(task.settings().meta().hessian_free());
  }
}

TEST_F(FederationStrategy, AMedianIsNotCarriedAwayByAClientThatLies) {
  options_.federation.rounds = 4;
  options_.federation.clients = 5;
  options_.federation.cohort = {.size = 5, .over_selection = 1.0, .minimum = 5};
  options_.federation.strategy = {.name = "Median"};
  start();
  const auto fleet = fleet_of(5, [](std::int32_t client) { return client == 2 ? -agg::kMoveMax : 0.25F; });
  const auto outcome = coordinator_->wait_outcome(60s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0) << outcome->message;
  EXPECT_EQ(coordinator_->committed().model->values, std::vector<float>(kParameters, 0.5F + 4 * 0.25F));
  EXPECT_TRUE(std::filesystem::is_empty(shelf_folder_));
}

TEST_F(FederationStrategy, AStorageThatTakesNoUpdateEndsTheFederationWithTheReason) {
  options_.federation.strategy = {.name = "Median"};
  shelf_folder_ = "/proc/nowhere";
  start();
  const auto fleet = fleet_of(2, [](std::int32_t) { return 1.0F; });
  const auto outcome = coordinator_->wait_outcome(60s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, kExitStorage);
  EXPECT_NE(outcome->message.find("/proc/nowhere"), std::string::npos) << outcome->message;
}

TEST_F(FederationStrategy, AFairUpdateWeighsWhatItsClientSaysAndMustSayIt) {
  options_.federation.rounds = 1;
  options_.federation.strategy = {.name = "QFedAvg", .q = 2};
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 2U);
  EXPECT_EQ(tasks[0].settings().fairness_q(), 2);
  UploadReply reply;
  UploadHeader header = header_of(tasks[0], ones_);
  ASSERT_TRUE(upload(header, ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::REJECTED) << "it weighs nothing";
  EXPECT_NE(reply.reason().find("weighs 0"), std::string::npos) << reply.reason();
}

}  // namespace
}  // namespace muster
