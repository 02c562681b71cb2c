// tests/device/federation_transfers_test.cc: transfers end with their round, and nothing long is done under a
// lock
#include <array>
#include <atomic>

#include "aggregator/store/curve.h"
#include "tests/device/federation_fixture.h"

namespace muster {
namespace {

class FederationTransfers : public FederationFixture {
 protected:
  // A channel on which the server cannot send much ahead of the reader.
  std::unique_ptr<federation::v1::Federation::Stub> narrow_stub() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 << 10);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    return stub_of(pki_.of_pod("client", 0, "uid"), arguments);
  }
  [[nodiscard]] bool committed(std::int64_t round) const {
    return eventually([&] { return coordinator_->committed().model->round >= round; });
  }
};

// One slow client a round holds room for its update; ten rounds later all of it would be held, if it were not
// given back.
TEST_F(FederationTransfers, ASlowClientInEveryRoundCostsNoHonestUpload) {
  options_.upload_memory_max = 0;  // two updates fit, whatever the limit
  options_.federation.rounds = 10;
  options_.federation.clients = 6;
  options_.federation.cohort = {.size = 2, .over_selection = 2.0, .minimum = 1};
  start();
  const std::uint64_t room = coordinator_->upload_room();
  for (int round = 1; round <= 10; ++round) {
    const auto tasks = begin_round();
    ASSERT_EQ(tasks.size(), 4U) << "round " << round;
    const auto slow = stand_still(header_of(tasks[0], ones_));
    EXPECT_EQ(coordinator_->upload_room(), room / 2);
    UploadReply reply;
    for (std::size_t i = 1; i <= 2; ++i) {
      const grpc::Status status = upload(header_of(tasks[i], ones_), ones_, reply);
      ASSERT_TRUE(status.ok()) << "round " << round << ": " << status.error_message();
      ASSERT_EQ(reply.verdict(), UploadReply::ACCEPTED) << reply.reason();
    }
    EXPECT_EQ(coordinator_->upload_room(), room) << "round " << round;
    const grpc::Status ended = slow->finish();
    EXPECT_EQ(ended.error_code(), grpc::StatusCode::ABORTED);
    EXPECT_NE(ended.error_message().find(fmt::format("round {} is closed", round)), std::string::npos)
        << ended.error_message();
    ASSERT_TRUE(committed(round));
  }
  EXPECT_EQ(coordinator_->progress().late(), 10);
  EXPECT_EQ(metrics_.refused(agg::Refusal::kNoRoom), 0);
}

TEST_F(FederationTransfers, AReaderThatStandsStillPinsNoModelAfterItsRound) {
  start();
  const auto narrow = narrow_stub();
  for (int round = 1; round <= 3; ++round) {
    const auto tasks = begin_round();
    ASSERT_EQ(tasks.size(), 3U);
    grpc::ClientContext context;
    limit(context);
    federation::v1::DownloadRequest request;
    request.set_task_id(tasks[0].task_id());
    auto reader = narrow->Download(&context, request);
    Chunk chunk;
    ASSERT_TRUE(reader->Read(&chunk));
    const std::weak_ptr<const agg::GlobalModel> model = coordinator_->committed().model;
    UploadReply reply;
    for (std::size_t i = 1; i <= 2; ++i) ASSERT_TRUE(upload(header_of(tasks[i], ones_), ones_, reply).ok());
    ASSERT_TRUE(committed(round));
    EXPECT_TRUE(eventually([&] { return model.expired(); })) << "round " << round;
    while (reader->Read(&chunk)) {
    }
    EXPECT_FALSE(reader->Finish().ok());
  }
}

TEST_F(FederationTransfers, ADownloadThatIsReadIsToldWhyItEnds) {
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  grpc::ClientContext context;
  limit(context);
  federation::v1::DownloadRequest request;
  request.set_task_id(tasks[0].task_id());
  const auto narrow = narrow_stub();
  auto reader = narrow->Download(&context, request);
  Chunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  UploadReply reply;
  for (std::size_t i = 1; i <= 2; ++i) ASSERT_TRUE(upload(header_of(tasks[i], ones_), ones_, reply).ok());
  while (reader->Read(&chunk)) {
  }
  const grpc::Status ended = reader->Finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_NE(ended.error_message().find("round 1 is closed"), std::string::npos) << ended.error_message();
}

// It has the only slot for a chunk; without an end to its patience nobody else would get the model.
TEST_F(FederationTransfers, AReaderThatStandsStillKeepsOthersWaitingForAMomentOnly) {
  downloads_at_once_ = 1;
  limits_.chunk = 500ms;
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  const auto narrow = narrow_stub();
  std::array<grpc::ClientContext, 2> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<Chunk>>> readers;
  Chunk chunk;
  for (std::size_t i = 0; i < 2; ++i) {
    limit(contexts[i]);
    federation::v1::DownloadRequest request;
    request.set_task_id(tasks[i].task_id());
    readers.push_back((i == 0 ? narrow : stub_)->Download(&contexts[i], request));
    ASSERT_TRUE(readers[i]->Read(&chunk));  // the second one's comes when the first one's time is over
  }
  std::uint64_t received = chunk.data().size();
  while (readers[1]->Read(&chunk)) received += chunk.data().size();
  const grpc::Status ended = readers[1]->Finish();
  EXPECT_TRUE(ended.ok()) << ended.error_message();
  EXPECT_EQ(received, kParameters * sizeof(float));
  while (readers[0]->Read(&chunk)) {
  }
  EXPECT_EQ(readers[0]->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

// It is written with each checkpoint, and copied for it.
TEST_F(FederationTransfers, TheHistoryOfAnEndlessFederationIsBounded) {
  options_.federation.rounds.reset();
  for (std::int64_t round = 1; round <= 5000; ++round)
    start_.history.push_back({.at = round, .loss = 1, .accuracy = 0.5});
  start_.round = 5000;
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  UploadReply reply;
  for (const Task& task : tasks) ASSERT_TRUE(upload(header_of(task, ones_), ones_, reply).ok());
  ASSERT_TRUE(eventually([&] { return coordinator_->committed().history.back().at == 5001; }));
  const auto history = coordinator_->committed().history;
  EXPECT_LE(history.size(), agg::kCurvePointsMax);
  EXPECT_EQ(history.front().at, 1);
  EXPECT_EQ(history.back().at, 5001);
}

TEST_F(FederationTransfers, ASlowDownloadKeepsItsVersionWhileAnUpdateOfItIsOfUse) {
  options_.federation.strategy = {.name = "FedBuff", .buffer_size = 1, .max_staleness = 6};
  options_.federation.cohort = {.size = 3};
  options_.federation.rounds = 100;
  start();
  auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  const std::string slow = tasks[0].task_id();
  grpc::ClientContext context;
  limit(context);
  federation::v1::DownloadRequest request;
  request.set_task_id(slow);
  const auto narrow = narrow_stub();
  auto reader = narrow->Download(&context, request);
  Chunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  std::uint64_t received = chunk.data().size();
  for (std::int64_t version = 0; version < 5; tasks = begin_round()) {
    for (const Task& task : tasks) {
      if (task.task_id() == slow) continue;
      UploadReply reply;
      ASSERT_TRUE(upload(header_of(task, ones_), ones_, reply).ok());
      ASSERT_TRUE(committed(++version));
    }
  }
  while (reader->Read(&chunk)) received += chunk.data().size();
  const grpc::Status ended = reader->Finish();
  EXPECT_TRUE(ended.ok()) << ended.error_message();
  EXPECT_EQ(received, kParameters * sizeof(float));
}

TEST_F(FederationTransfers, AnAbandonedRoundEndsItsTransfersWithTheReason) {
  options_.federation.cohort.minimum = 2;
  options_.report_deadline = 1s;
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  const std::uint64_t room = coordinator_->upload_room();
  const auto slow = stand_still(header_of(tasks[0], ones_));
  const grpc::Status ended = slow->finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_NE(ended.error_message().find("round 1 came to nothing: 0 of 3"), std::string::npos)
      << ended.error_message();
  EXPECT_EQ(coordinator_->upload_room(), room);
}

// The gates make it certain that the fold, or the end of the round, is under way meanwhile.
TEST_F(FederationTransfers, CallsAreAnsweredWhileUpdatesAreFoldedAndModelsFinished) {
  Gate fold;
  Gate finish;
  fold_gate_ = &fold;
  finish_gate_ = &finish;
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  const auto others_are_answered = [&] {
    CheckInReply checked;
    EXPECT_TRUE(check_in(3, checked, 10).ok());
    EXPECT_EQ(held_bytes(tasks[2]), 0U);
    EXPECT_GE(coordinator_->progress().connected(), 1);
  };
  std::array<UploadReply, 2> replies;
  std::vector<std::thread> uploads;
  for (std::size_t i = 0; i < 2; ++i) {
    uploads.emplace_back([&, i] { EXPECT_TRUE(upload(header_of(tasks[i], ones_), ones_, replies[i]).ok()); });
  }
  fold.wait_for_somebody();
  others_are_answered();
  fold.open();
  finish.wait_for_somebody();
  others_are_answered();
  EXPECT_EQ(coordinator_->committed().model->round, 0);
  finish.open();
  for (std::thread& call : uploads) call.join();
  for (const UploadReply& reply : replies) EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED);
  EXPECT_TRUE(committed(1));
}

TEST_F(FederationTransfers, AnUploadThatIsBeingFoldedIsAskedAboutAgainLater) {
  Gate fold;
  fold_gate_ = &fold;
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  UploadReply first;
  std::thread call([&] { EXPECT_TRUE(upload(header_of(tasks[0], ones_), ones_, first).ok()); });
  fold.wait_for_somebody();
  UploadReply second;
  EXPECT_EQ(upload(header_of(tasks[0], ones_), ones_, second).error_code(), grpc::StatusCode::UNAVAILABLE);
  fold.open();
  call.join();
  EXPECT_TRUE(upload(header_of(tasks[0], ones_), ones_, second).ok());
  EXPECT_EQ(second.verdict(), UploadReply::ACCEPTED);
  EXPECT_EQ(coordinator_->progress().reported(), 1);
}

// Eight updates, room for two, and a fold that does not go on: every client is told to wait far more often
// than a broken transfer is tried. None trains again for it.
TEST_F(FederationTransfers, AFleetKeepsItsUpdatesUntilThereIsRoomForThem) {
  Gate fold;
  fold_gate_ = &fold;
  options_.upload_memory_max = 0;
  options_.federation.rounds = 1;
  options_.federation.clients = 8;
  options_.federation.cohort = {.size = 8, .over_selection = 1.0, .minimum = 8};
  options_.report_deadline = 60s;
  start();
  std::atomic<int> trained = 0;
  const auto fleet = device::Fleet::start(
      {.aggregator = address_,
       .credentials = pki_.of_pod("client", 0, "uid"),
       .clients = 8,
       .parameter_count = kParameters,
       .parallel_clients = 8},
      [&](int, std::int32_t, const device::TaskTicket&, std::span<const float>, const auto&) {
        ++trained;
        return Result<learning::LocalUpdate>({.delta = std::vector<float>(kParameters, 1.0F), .examples = 1});
      });
  EXPECT_TRUE(eventually([&] { return metrics_.refused(agg::Refusal::kNoRoom) > 6 * 8; }, 60s));
  fold.open();
  const auto outcome = coordinator_->wait_outcome(60s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0) << outcome->message;
  EXPECT_EQ(trained, 8);
  EXPECT_EQ(coordinator_->progress().dropped(), 0);
}

TEST_F(FederationTransfers, AnUploadWithoutAHeaderIsCutOff) {
  limits_.first_message = 200ms;
  start();
  grpc::ClientContext context;
  limit(context);
  UploadReply reply;
  auto writer = stub_->Upload(&context, &reply);
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(FederationTransfers, AClientThatComesAgainTakesItsOwnUploadsPlace) {
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  const auto dead = stand_still(header_of(tasks[0], ones_));
  UploadReply reply;
  ASSERT_TRUE(upload(header_of(tasks[0], ones_), ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED);
  EXPECT_EQ(dead->finish().error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(metrics_.refused(agg::Refusal::kDisplaced), 1);
}

TEST_F(FederationTransfers, ADamagedUploadIsSentAgainAndCounts) {
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  UploadHeader damaged = header_of(tasks[0], ones_);
  damaged.set_update_sha256("0");
  UploadReply reply;
  const grpc::Status status = upload(damaged, ones_, reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_NE(status.error_message().find("SHA-256"), std::string::npos) << status.error_message();
  EXPECT_EQ(metrics_.refused(agg::Refusal::kDamaged), 1);
  EXPECT_EQ(held_bytes(tasks[0]), 0U);
  ASSERT_TRUE(upload(header_of(tasks[0], ones_), ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED);
}

TEST_F(FederationTransfers, AFleetIsToldThatTheFederationFailed) {
  options_.federation.cohort = {.size = 2, .over_selection = 1.0, .minimum = 2};
  start();
  const auto fleet = device::Fleet::start(
      {.aggregator = address_,
       .credentials = pki_.of_pod("client", 0, "uid"),
       .clients = 4,
       .parameter_count = kParameters,
       .parallel_clients = 4},
      [&](int, std::int32_t, const device::TaskTicket&, std::span<const float>, const auto&) {
        return Result<learning::LocalUpdate>(data_loss("the loss is NaN; lower the learning rate"));
      });
  const auto farewell = fleet->wait(60s);
  ASSERT_TRUE(farewell) << farewell.error().message;
  EXPECT_TRUE(farewell->failed);
  EXPECT_NE(farewell->reason.find("lower the learning rate"), std::string::npos) << farewell->reason;
  EXPECT_EQ(farewell->reason.find("deadlineSeconds"), std::string::npos) << farewell->reason;
}

}  // namespace
}  // namespace muster
