// tests/device/federation_late_test.cc: late, partial and stale updates over the real protocol, and the
// verdict "counted"
#include <atomic>
#include <cmath>
#include <set>

#include "tests/device/federation_fixture.h"
#include "tests/support/slow_disk.h"

namespace muster {
namespace {

class FederationLate : public FederationFixture {
 protected:
  FederationLate() {
    options_.federation.rounds = 4;
    options_.federation.clients = 3;
    options_.federation.cohort = {.size = 2, .over_selection = 1.5, .minimum = 1};
  }
  UploadReply::Verdict send(const Task& task, std::span<const float> update) {
    UploadReply reply;
    const grpc::Status status = upload(header_of(task, update), update, reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply.verdict();
  }
  bool committed(std::int64_t round) {
    return eventually([&] { return coordinator_->committed().model->round >= round; });
  }
  [[nodiscard]] float model() const { return coordinator_->committed().model->values[0]; }
  std::unique_ptr<device::Fleet> fleet(device::Trainer trainer, int parallel = 2) const {
    return device::Fleet::start({.aggregator = address_,
                                 .credentials = pki_.of_pod("client", 0, "uid"),
                                 .clients = static_cast<std::int32_t>(options_.federation.clients),
                                 .parameter_count = kParameters,
                                 .parallel_clients = parallel},
                                std::move(trainer));
  }
};

TEST_F(FederationLate, ACheckInTellsWhatBecameOfTheLastUpdate) {
  options_.federation.cohort = {.size = 2, .over_selection = 1.0, .minimum = 2};
  options_.federation.clients = 2;
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 2U);
  EXPECT_EQ(send(tasks[0], ones_), UploadReply::ACCEPTED);
  const auto said = [&](std::int32_t client) {
    CheckInReply reply;
    EXPECT_TRUE(check_in(client, reply, 10).ok());
    return reply;
  };
  // Which of the two sent is not known here: the other still has its task.
  const CheckInReply first = said(0), second = said(1);
  const std::int32_t sender = first.has_task() ? 1 : 0;
  const CheckInReply& waiting = sender == 0 ? first : second;
  EXPECT_EQ(waiting.counted_round(), 0);
  EXPECT_TRUE(waiting.undecided()) << "accepted is not counted";
  EXPECT_EQ(send(tasks[1], ones_), UploadReply::ACCEPTED);
  ASSERT_TRUE(committed(1));
  const CheckInReply after = said(sender);
  EXPECT_EQ(after.counted_round(), 1);
  EXPECT_FALSE(after.undecided());
}

TEST_F(FederationLate, AnAggregatorThatIsStartedAgainSaysTheSame) {
  start_.round = 3;
  start_.counted = {3, 0, 2};
  options_.federation.cohort = {.size = 3, .over_selection = 1.0, .minimum = 3};
  start();
  CheckInReply reply;
  ASSERT_TRUE(check_in(0, reply, 10).ok());
  EXPECT_EQ(reply.counted_round(), 3);
  EXPECT_FALSE(reply.undecided());
  for (const Task& task : begin_round()) static_cast<void>(send(task, ones_));
  ASSERT_TRUE(eventually([&] { return coordinator_->wait_outcome(0ms).has_value(); }));
  EXPECT_EQ(saved_.counted, (std::vector<std::int64_t>{4, 4, 4}));
}

TEST_F(FederationLate, WhereClientsKeepSomethingARoundBeginsWhenTheLastIsSaved) {
  options_.federation.strategy = {.name = "SCAFFOLD"};
  options_.federation.training.optimizer.learning_rate = 0.5;
  options_.federation.cohort = {.size = 3, .over_selection = 1.0, .minimum = 3};
  start();
  const std::vector<float> threes(kParameters, 3.0F);
  for (std::int64_t round = 1; round <= 2; ++round) {
    const auto tasks = begin_round();
    ASSERT_EQ(tasks.size(), 3U);
    EXPECT_EQ(tasks[0].round(), round);
    EXPECT_EQ(saved_.round, round - 1) << "what it is told to have counted must outlive the aggregator";
    EXPECT_EQ(tasks[0].model_bytes(), 2 * kParameters * sizeof(float));
    EXPECT_TRUE(tasks[0].settings().control_variates());
    std::vector<float> model;
    ASSERT_TRUE(download(*stub_, tasks[0].task_id(), &model).ok());
    ASSERT_EQ(model.size(), 2 * kParameters);
    EXPECT_EQ(model[0], 3.0F * static_cast<float>(round - 1));
    EXPECT_EQ(model[kParameters], round == 1 ? 0.0F : -6.0F) << "c behind the model";
    EXPECT_EQ(learning::sha256_hex(std::as_bytes(std::span(model))), tasks[0].model_sha256());
    for (const Task& task : tasks) EXPECT_EQ(send(task, threes), UploadReply::ACCEPTED);
    ASSERT_TRUE(committed(round));
  }
  EXPECT_EQ(saved_.counted, (std::vector<std::int64_t>{2, 2, 2}));
  ASSERT_EQ(saved_.state.size(), 1U);
  EXPECT_EQ(saved_.state[0].values[0], -6.0F) << "all went equally far in both rounds";
}

TEST_F(FederationLate, MoreStepsThanATrainingMakesAreRefused) {
  options_.federation.strategy = {.name = "SCAFFOLD"};
  options_.federation.cohort = {.size = 3, .over_selection = 1.0, .minimum = 3};
  options_.federation.training.local_epochs = 2;
  options_.federation.training.batch_size = 10;
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  std::size_t sent = 0;
  for (const std::uint64_t steps : {0, 5, 4}) {
    UploadReply reply;
    UploadHeader header = header_of(tasks[sent++], ones_);
    header.set_examples(11);  // two batches, twice
    header.set_steps(steps);
    ASSERT_TRUE(upload(header, ones_, reply).ok());
    EXPECT_EQ(reply.verdict(), steps == 4 ? UploadReply::ACCEPTED : UploadReply::REJECTED) << steps;
  }
}

TEST_F(FederationLate, AnUpdateThatMissedItsRoundCountsInTheNextForLess) {
  options_.federation.stragglers.policy = "Buffer";
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  EXPECT_GT(tasks[0].deadline_ms(), 4 * 20'000) << "it may go on for four rounds more";
  EXPECT_EQ(send(tasks[0], std::vector<float>(kParameters, 0.0F)), UploadReply::ACCEPTED);
  EXPECT_EQ(send(tasks[1], std::vector<float>(kParameters, 0.0F)), UploadReply::ACCEPTED);
  ASSERT_TRUE(committed(1));
  EXPECT_EQ(model(), 0.0F);
  EXPECT_EQ(send(tasks[2], ones_), UploadReply::ACCEPTED);
  EXPECT_EQ(send(tasks[2], ones_), UploadReply::ACCEPTED) << "and counts once";
  EXPECT_EQ(coordinator_->progress().late(), 1);
  const auto next = begin_round();
  ASSERT_EQ(next.size(), 3U);
  for (std::size_t i = 0; i < 2; ++i)
    EXPECT_EQ(send(next[i], std::vector<float>(kParameters, 0.0F)), UploadReply::ACCEPTED);
  ASSERT_TRUE(committed(2));
  const double weight = 1 / std::sqrt(2.0);
  EXPECT_NEAR(model(), weight / (2 + weight), 1e-6);
  ASSERT_TRUE(eventually([&] { return coordinator_->progress().history_size() == 2; }));
}

TEST_F(FederationLate, AnUploadThatRunsWhenItsRoundClosesGoesOn) {
  options_.federation.stragglers.policy = "Buffer";
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  grpc::ClientContext context;
  limit(context);
  UploadReply reply;
  auto writer = stub_->Upload(&context, &reply);
  UploadRequest request;
  *request.mutable_header() = header_of(tasks[2], ones_);
  ASSERT_TRUE(writer->Write(request));
  const auto send_part = [&](std::size_t begin, std::size_t end) {
    request.mutable_chunk()->set_offset(begin * sizeof(float));
    request.mutable_chunk()->mutable_data()->assign(reinterpret_cast<const char*>(ones_.data() + begin),
                                                    (end - begin) * sizeof(float));
    return writer->Write(request);
  };
  ASSERT_TRUE(send_part(0, kParameters / 8));
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(send(tasks[i], ones_), UploadReply::ACCEPTED);
  ASSERT_TRUE(committed(1));
  for (std::size_t part = 1; part < 8; ++part)
    EXPECT_TRUE(send_part(part * kParameters / 8, (part + 1) * kParameters / 8));
  EXPECT_TRUE(writer->Finish().ok());
  EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED) << reply.reason();
}

TEST_F(FederationLate, AClientStopsByItselfSoThatItsUpdateIsThereInTime) {
  options_.federation.rounds = 2;
  options_.federation.stragglers.policy = "AcceptPartial";
  options_.federation.cohort = {.size = 3, .over_selection = 1.0, .minimum = 3};
  options_.report_deadline = 1500ms;
  start();
  std::atomic<int> stopped = 0;
  const auto clients =
      fleet([&](int, std::int32_t client, const device::TaskTicket& task, std::span<const float>,
                const auto& cancelled) -> Result<learning::LocalUpdate> {
        EXPECT_TRUE(task.stop_at && *task.stop_at < task.deadline);
        learning::LocalUpdate update{.delta = std::vector<float>(kParameters, 1.0F), .examples = 7};
        if (client > 0) return update;
        while (task.stop_at && std::chrono::steady_clock::now() < *task.stop_at) {  // never done
          if (cancelled()) return aborted("cancelled");
          std::this_thread::yield();
        }
        ++stopped;
        update.partial = true;
        return update;
      });
  const auto outcome = coordinator_->wait_outcome(60s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0) << outcome->message;
  EXPECT_GE(stopped, 2) << "with all three in every round";
  EXPECT_EQ(model(), 2.0F);
  ASSERT_TRUE(clients->wait(10s));
  EXPECT_GE(clients->progress().updates_partial(), 2);
  EXPECT_GE(clients->progress().updates_counted(), 3) << "of the first round; of the last not all hear";
  EXPECT_EQ(clients->progress().updates_uncounted(), 0);
}

TEST_F(FederationLate, ClientsOfAPodThatTrainOneAfterAnotherShareTheTime) {
  options_.federation.stragglers.policy = "AcceptPartial";
  options_.federation.rounds = 1;
  options_.federation.cohort = {.size = 3, .over_selection = 1.0, .minimum = 3};
  options_.report_deadline = 3s;
  start();
  const auto clients = fleet(
      [](int, std::int32_t, const device::TaskTicket& task, std::span<const float>,
         const auto& cancelled) -> Result<learning::LocalUpdate> {
        while (std::chrono::steady_clock::now() < task.stop_at.value()) {  // never done
          if (cancelled()) return aborted("cancelled");
          std::this_thread::yield();
        }
        return learning::LocalUpdate{
            .delta = std::vector<float>(kParameters, 1.0F), .examples = 7, .partial = true};
      },
      1);
  const auto outcome = coordinator_->wait_outcome(60s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0) << outcome->message;
  EXPECT_EQ(coordinator_->progress().dropped(), 0) << "in the first try of the round";
}

class FederationBuffer : public FederationLate {
 protected:
  FederationBuffer() {
    options_.federation.strategy = {.name = "FedBuff", .buffer_size = 2, .max_staleness = 1};
    options_.federation.cohort = {.size = 3};
    options_.federation.rounds = 3;
  }
};

TEST_F(FederationBuffer, UpdatesMakeVersionsWhoeverIsStillAtWork) {
  options_.federation.rounds = 2;
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  EXPECT_NE(tasks[0].serial(), tasks[1].serial());
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(send(tasks[i], ones_), UploadReply::ACCEPTED);
  ASSERT_TRUE(committed(1));
  EXPECT_EQ(model(), 1.0F);
  EXPECT_EQ(send(tasks[2], ones_), UploadReply::ACCEPTED) << "it began with version 0";
  const auto next = begin_round();
  ASSERT_EQ(next.size(), 2U) << "who is in the buffer waits for those who are not";
  EXPECT_EQ(send(next[0], ones_), UploadReply::ACCEPTED);
  ASSERT_TRUE(committed(2));
  EXPECT_NEAR(model(), 1 + (1 / std::sqrt(2.0) + 1) / 2, 1e-6);
  const auto outcome = coordinator_->wait_outcome(20s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0) << outcome->message;
}

TEST_F(FederationBuffer, ADownloadIsOfTheNewestVersionAndTheTaskIsOfThatOne) {
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(send(tasks[i], ones_), UploadReply::ACCEPTED);
  ASSERT_TRUE(committed(1));
  grpc::ClientContext context;
  limit(context);
  federation::v1::DownloadRequest request;
  request.set_task_id(tasks[2].task_id());
  request.set_offset(1000);
  request.set_model_sha256(tasks[2].model_sha256());  // it has a part of version 0
  auto reader = stub_->Download(&context, request);
  Chunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  EXPECT_EQ(chunk.offset(), 0U) << "from another model nothing goes on";
  EXPECT_EQ(chunk.head().round(), 2);
  EXPECT_EQ(chunk.head().sha256(), coordinator_->committed().model->sha256);
  ASSERT_TRUE(reader->Read(&chunk));
  EXPECT_FALSE(chunk.has_head());
  while (reader->Read(&chunk)) continue;
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(send(tasks[2], ones_), UploadReply::ACCEPTED);
  const auto next = begin_round();
  ASSERT_EQ(next.size(), 2U);
  EXPECT_EQ(send(next[0], ones_), UploadReply::ACCEPTED);
  ASSERT_TRUE(committed(2));
  EXPECT_EQ(model(), 2.0F) << "none was stale";
}

TEST_F(FederationBuffer, AFleetPlaysAllVersions) {
  options_.federation.rounds = 12;
  options_.federation.clients = 6;
  start();
  std::atomic<int> trained = 0;
  const auto clients =
      fleet([&](int, std::int32_t, const device::TaskTicket& task, std::span<const float> global,
                const auto&) -> Result<learning::LocalUpdate> {
        ++trained;
        EXPECT_GT(task.serial, 0);
        EXPECT_EQ(global[0], global[kParameters - 1]);
        return learning::LocalUpdate{.delta = std::vector<float>(kParameters, 1.0F), .examples = 1};
      });
  const auto outcome = coordinator_->wait_outcome(60s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0) << outcome->message;
  EXPECT_GE(trained, 24);
  EXPECT_GT(model(), 12 * 0.5F);
  EXPECT_LE(model(), 12.0F);
  ASSERT_TRUE(clients->wait(10s));
  EXPECT_EQ(coordinator_->committed().history.back().at, 12) << "the last one is evaluated in any case";
}

TEST_F(FederationBuffer, TheVersionThatReachedTheTargetIsTheLastThoughNewerOnesCame) {
  options_.federation.rounds = 1000;
  options_.federation.target = spec::Target{.value = 1};
  Gate evaluation;
  evaluate_gate_ = &evaluation;
  start();
  const auto clients = fleet([](int, std::int32_t, const device::TaskTicket&, std::span<const float>,
                                const auto&) {
    return Result<learning::LocalUpdate>({.delta = std::vector<float>(kParameters, 0.25F), .examples = 1});
  });
  ASSERT_TRUE(committed(8));  // none of which is evaluated so far
  evaluation.open();
  const auto outcome = coordinator_->wait_outcome(60s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0) << outcome->message;
  const agg::CommittedModel end = coordinator_->committed();
  EXPECT_GE(model(), 1.0F);
  EXPECT_EQ(end.history.back().at, end.model->round);
  EXPECT_EQ(saved_.round, end.model->round);
  EXPECT_EQ(saved_.parameters, end.model->values);
}

TEST_F(FederationBuffer, AClientThatIsGoneIsReplaced) {
  options_.report_deadline = 300ms;
  options_.federation.clients = 4;
  options_.federation.cohort = {.size = 1};
  options_.federation.strategy.buffer_size = 1;
  options_.federation.rounds = 1;
  start();
  const auto tasks = begin_round();  // three wait their turn until they are told to come back
  ASSERT_FALSE(tasks.empty());
  const auto again = begin_round();
  const auto other = std::find_if(again.begin(), again.end(),
                                  [&](const Task& task) { return task.task_id() != tasks[0].task_id(); });
  ASSERT_NE(other, again.end());
  EXPECT_EQ(send(tasks[0], ones_), UploadReply::LATE);
}

// The round that closes meanwhile forgets the task, but the aggregate has its update.
TEST_F(FederationLate, AnUpdateThatIsFoldedWhileItsTaskIsForgottenCountsAndIsToldSo) {
  Gate fold;
  fold_gate_ = &fold;
  fold.open();
  options_.federation.rounds = 9;
  options_.federation.stragglers.policy = "Buffer";
  options_.report_deadline = 3s;
  start();
  const auto first = begin_round();
  ASSERT_EQ(first.size(), 3U);
  EXPECT_EQ(send(first[1], ones_), UploadReply::ACCEPTED);
  EXPECT_EQ(send(first[2], ones_), UploadReply::ACCEPTED);
  // Client 0 is still at work; the others play on, until its task is of the oldest round that is remembered.
  const auto next_round = [this] {
    std::vector<CheckInReply> replies(2);
    std::thread other([&] { static_cast<void>(check_in(1, replies[0])); });
    static_cast<void>(check_in(2, replies[1]));
    other.join();
    return std::vector<Task>{replies[0].task(), replies[1].task()};
  };
  for (std::int64_t round = 2; round <= 4; ++round) {
    ASSERT_TRUE(committed(round - 1));
    for (const Task& task : next_round()) EXPECT_EQ(send(task, ones_), UploadReply::ACCEPTED);
  }
  ASSERT_TRUE(committed(4));
  EXPECT_EQ(send(next_round()[0], ones_), UploadReply::ACCEPTED);
  fold.close();
  UploadReply::Verdict verdict = UploadReply::VERDICT_UNSPECIFIED;
  std::thread late([&] { verdict = send(first[0], ones_); });
  fold.wait_for_somebody();
  EXPECT_TRUE(eventually([&] { return coordinator_->progress().selected() == 0; })) << "the round is due";
  fold.open();
  late.join();
  EXPECT_EQ(verdict, UploadReply::ACCEPTED);
  EXPECT_TRUE(committed(5));
}

// What the clients keep is of the attempt that they trained for last.
TEST_F(FederationLate, WhereClientsKeepStateAnAttemptIsDurablyOverBeforeTheNextIsGivenOut) {
  DiskImage image;
  SlowDisk slow;
  options_.federation.strategy.name = "SCAFFOLD";
  options_.federation.clients = 2;
  options_.federation.cohort = {.size = 2, .over_selection = 1.0, .minimum = 2};
  auto journal =
      agg::Journal::open(std::make_unique<SlowFakeDisk>(image, slow),
                         {.owner = {.uid = "u", .fingerprint = "f", .clients = 2, .parameters = kParameters},
                          .place = "j",
                          .salt = 3},
                         0, journaled_.recovered);
  ASSERT_TRUE(journal) << journal.error().message;
  ASSERT_TRUE((*journal)->start_file(0, 1, {}));
  journaled_.journal = std::move(*journal);
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 2U);
  const int syncs = slow.syncs();
  slow.hold();
  for (const Task& task : tasks) {
    UploadHeader header = header_of(task, ones_);
    header.set_failure("it cannot");
    UploadReply reply;
    EXPECT_TRUE(upload(header, {}, reply).ok());
  }
  slow.wait_for_sync(syncs + 1);
  EXPECT_TRUE(begin_round().empty()) << "a loss of power would bring the first attempt back";
  EXPECT_EQ(coordinator_->progress().selected(), 2) << "of the second";
  slow.let_go();
  EXPECT_EQ(begin_round().size(), 2U);
}

}  // namespace
}  // namespace muster
