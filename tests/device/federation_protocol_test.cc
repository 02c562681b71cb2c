// tests/device/federation_protocol_test.cc: the protocol over real gRPC on loopback, with training made up
#include <atomic>
#include <limits>
#include <numeric>

#include "pod/pod_contract.h"
#include "tests/device/federation_fixture.h"

namespace muster {
namespace {

class FederationProtocol : public FederationFixture {};

TEST_F(FederationProtocol, AFleetPlaysAllRoundsAndTheModelIsTheSumOfTheMeans) {
  options_.federation.clients = 40;
  options_.federation.clients_per_pod = 40;
  options_.federation.cohort = {.size = 10, .over_selection = 1.3, .minimum = 1};
  start();
  std::atomic<int> trained = 0;
  const auto fleet =
      device::Fleet::start({.aggregator = address_,
                            .credentials = pki_.of_pod("client", 0, "uid"),
                            .clients = 40,
                            .parameter_count = kParameters,
                            .parallel_clients = 2},
                           [&](int, std::int32_t client, const device::TaskTicket& task,
                               std::span<const float> global, const auto&) {
                             ++trained;
                             EXPECT_EQ(global[kParameters - 1], static_cast<float>(task.round - 1));
                             learning::LocalUpdate update;
                             update.delta.assign(kParameters, 1.0F);
                             update.examples = static_cast<std::uint64_t>(client) + 1;
                             return Result<learning::LocalUpdate>(std::move(update));
                           });
  const auto outcome = coordinator_->wait_outcome(60s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0) << outcome->message;
  const auto farewell = fleet->wait(10s);
  ASSERT_TRUE(farewell) << farewell.error().message;
  EXPECT_FALSE(farewell->failed);
  const agg::CommittedModel end = coordinator_->committed();
  EXPECT_EQ(end.model->round, 3);
  EXPECT_EQ(end.model->values, std::vector<float>(kParameters, 3.0F));
  EXPECT_EQ(end.history.size(), 3U);
  EXPECT_GE(trained, 30);
  const auto progress = coordinator_->progress();
  EXPECT_GE(progress.bytes_received(), 30U * kParameters * 4U);
}

TEST_F(FederationProtocol, AClientThatIsTooSlowGivesItsSlotToTheOthersAtTheDeadline) {
  options_.federation.rounds = 2;
  options_.federation.clients = 2;
  options_.federation.cohort = {.size = 2, .over_selection = 1.0, .minimum = 1};
  options_.report_deadline = 1s;
  start();
  std::atomic<int> cancellations = 0;
  const auto fleet = device::Fleet::start(
      {.aggregator = address_,
       .credentials = pki_.of_pod("client", 0, "uid"),
       .clients = 2,
       .parameter_count = kParameters,
       .parallel_clients = 2},
      [&](int, std::int32_t client, const device::TaskTicket&, std::span<const float>,
          const auto& cancelled) -> Result<learning::LocalUpdate> {
        if (client == 1) {  // never done
          while (!cancelled()) std::this_thread::yield();
          ++cancellations;
          return aborted("cancelled");
        }
        return learning::LocalUpdate{.delta = std::vector<float>(kParameters, 1.0F), .examples = 1};
      });
  const auto outcome = coordinator_->wait_outcome(60s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0) << outcome->message;
  EXPECT_GE(cancellations, 1) << "the deadline, not the end of the federation, took its slot";
}

TEST_F(FederationProtocol, ACheckInThatAnotherDisplacesIsToldToWaitAWhile) {
  start();
  CheckInReply first;
  std::thread displaced([&] { static_cast<void>(check_in(0, first)); });
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (coordinator_->progress().connected() == 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  CheckInReply second;
  EXPECT_TRUE(check_in(0, second, 10).ok());
  displaced.join();
  EXPECT_GE(first.come_back().after_ms(), 1'000);
  EXPECT_EQ(second.come_back().after_ms(), 0) << "its hold was over";
}

TEST_F(FederationProtocol, ADownloadGoesOnWhereItBroke) {
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  grpc::ClientContext context;
  limit(context);
  federation::v1::DownloadRequest request;
  request.set_task_id(tasks[0].task_id());
  request.set_offset(kParameters * 4 - 100);
  auto reader = stub_->Download(&context, request);
  Chunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  EXPECT_EQ(chunk.offset(), kParameters * 4 - 100);
  EXPECT_EQ(chunk.data().size(), 100U);
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(FederationProtocol, AnUploadGoesOnWhereItBroke) {
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  UploadHeader header = header_of(tasks[0], ones_);
  UploadReply reply;
  std::thread broken([&] {  // two chunks, then the client is gone; the server's reads come in their own time
    grpc::ClientContext context;
    limit(context);
    UploadReply unused;
    auto writer = stub_->Upload(&context, &unused);
    UploadRequest request;
    *request.mutable_header() = header;
    writer->Write(request);
    request.mutable_chunk()->mutable_data()->assign(reinterpret_cast<const char*>(ones_.data()), 1000);
    writer->Write(request);
    writer->WritesDone();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::DATA_LOSS);
  });
  broken.join();
  ASSERT_EQ(until_held(tasks[0], 1000), 1000U);
  header.set_offset(1000);
  EXPECT_TRUE(upload(header, ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED);
  EXPECT_EQ(coordinator_->progress().bytes_received(), kParameters * 4);
}

TEST_F(FederationProtocol, AnUploadThatBreaksOffDoesNotHarmTheRound) {
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  UploadReply reply;
  EXPECT_FALSE(upload(header_of(tasks[0], ones_), ones_, reply, 256 << 10, true).ok());
  EXPECT_TRUE(upload(header_of(tasks[0], ones_), ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED) << reply.reason();
}

TEST_F(FederationProtocol, ARepeatedUpdateCountsOnceAndALateOneNot) {
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  UploadReply reply;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(upload(header_of(tasks[0], ones_), ones_, reply).ok());
    EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED);
  }
  EXPECT_EQ(coordinator_->progress().reported(), 1);
  ASSERT_TRUE(upload(header_of(tasks[1], ones_), ones_, reply).ok());  // the second of two: the round closes
  ASSERT_TRUE(upload(header_of(tasks[2], ones_), ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::LATE);
  EXPECT_EQ(coordinator_->progress().late(), 1);
  ASSERT_TRUE(eventually([&] { return coordinator_->committed().model->round == 1; }));
  EXPECT_EQ(coordinator_->committed().model->values, ones_);
}

TEST_F(FederationProtocol, RefusesUpdatesThatAreWrongAndSaysWhy) {
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  UploadReply reply;
  const std::vector<float> small(10, 1.0F);
  ASSERT_TRUE(upload(header_of(tasks[0], small), small, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::REJECTED);
  EXPECT_NE(reply.reason().find("the update of client"), std::string::npos) << reply.reason();
  std::vector<float> poisoned = ones_;
  poisoned[17] = std::numeric_limits<float>::quiet_NaN();
  ASSERT_TRUE(upload(header_of(tasks[2], poisoned), poisoned, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::REJECTED);
  EXPECT_NE(reply.reason().find("not finite"), std::string::npos) << reply.reason();
  EXPECT_EQ(coordinator_->committed().model->round, 0);
}

TEST_F(FederationProtocol, ALongReasonIsCutBetweenCharacters) {
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  UploadHeader failed = header_of(tasks[0], ones_);
  std::string reason = "x";
  for (int i = 0; i < 400; ++i) reason += "\u00e9";
  failed.set_failure(reason);
  UploadReply reply;
  const grpc::Status status = upload(failed, {}, reply);
  ASSERT_TRUE(status.ok()) << status.error_message();  // half a character cannot be parsed
  EXPECT_EQ(reply.verdict(), UploadReply::REJECTED);
  EXPECT_EQ(reply.reason(), reason.substr(0, 499));
}

TEST_F(FederationProtocol, HostileMessagesGetACleanStatus) {
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  CheckInReply check;
  EXPECT_EQ(check_in(-1, check).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(check_in(4, check).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  UploadReply reply;
  UploadHeader unknown = header_of(tasks[0], ones_);
  unknown.set_task_id("0123456789abcdef0123456789abcdef");
  EXPECT_EQ(upload(unknown, ones_, reply).error_code(), grpc::StatusCode::NOT_FOUND);
  UploadHeader ahead = header_of(tasks[0], ones_);
  ahead.set_offset(512);
  EXPECT_EQ(upload(ahead, ones_, reply).error_code(), grpc::StatusCode::FAILED_PRECONDITION);

  const auto talk = [&](const std::vector<UploadRequest>& messages) {
    grpc::ClientContext context;
    limit(context);
    auto writer = stub_->Upload(&context, &reply);
    for (const UploadRequest& message : messages) {
      if (!writer->Write(message)) break;
    }
    writer->WritesDone();
    return writer->Finish().error_code();
  };
  UploadRequest header;
  *header.mutable_header() = header_of(tasks[0], ones_);
  UploadRequest chunk;
  chunk.mutable_chunk()->set_data("abcd");
  UploadRequest far = chunk;
  far.mutable_chunk()->set_offset(~std::uint64_t{0});
  UploadRequest empty;
  empty.mutable_chunk();
  UploadRequest large;
  large.mutable_chunk()->set_data(std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(talk({}), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(talk({UploadRequest()}), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(talk({chunk}), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(talk({header, header}), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(talk({header, far}), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(talk({header, empty}), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(talk({header, large}), grpc::StatusCode::INVALID_ARGUMENT);

  for (const auto& [task_id, offset, code] :
       {std::tuple{std::string("nonsense"), std::uint64_t{0}, grpc::StatusCode::NOT_FOUND},
        {tasks[0].task_id(), ~std::uint64_t{0}, grpc::StatusCode::OUT_OF_RANGE}}) {
    grpc::ClientContext context;
    limit(context);
    federation::v1::DownloadRequest request;
    request.set_task_id(task_id);
    request.set_offset(offset);
    auto reader = stub_->Download(&context, request);
    Chunk unused;
    EXPECT_FALSE(reader->Read(&unused));
    EXPECT_EQ(reader->Finish().error_code(), code);
  }
  ASSERT_TRUE(upload(header_of(tasks[0], ones_), ones_, reply).ok());  // after all of that it still counts
  EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED);
}

TEST_F(FederationProtocol, RequestsThatFillMemoryAreRefused) {
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  const std::string much(1 << 20, 'x');
  const auto too_long = grpc::StatusCode::INVALID_ARGUMENT;
  const auto room = coordinator_->upload_room();
  UploadHeader header = header_of(tasks[0], ones_);
  header.set_update_sha256(much);
  UploadReply reply;
  EXPECT_EQ(upload(header, std::span<const float>(ones_).first(1), reply).error_code(), too_long);
  header = header_of(tasks[0], ones_);
  header.set_failure(much);
  EXPECT_EQ(upload(header, {}, reply).error_code(), too_long);
  {
    grpc::ClientContext context;
    limit(context);
    federation::v1::CheckInRequest request;
    request.set_hold_ms(60'000);
    request.set_data_sha256("9:" + much);
    CheckInReply check;
    EXPECT_EQ(stub_->CheckIn(&context, request, &check).error_code(), too_long);
  }
  {
    grpc::ClientContext context;
    limit(context);
    federation::v1::UploadOffsetRequest request;
    request.set_task_id(much);
    federation::v1::UploadOffsetReply held;
    EXPECT_EQ(stub_->UploadOffset(&context, request, &held).error_code(), too_long);
  }
  {
    grpc::ClientContext context;
    limit(context);
    federation::v1::DownloadRequest request;
    request.set_task_id(tasks[0].task_id());
    request.set_model_sha256(much);
    auto reader = stub_->Download(&context, request);
    Chunk unused;
    EXPECT_FALSE(reader->Read(&unused));
    EXPECT_EQ(reader->Finish().error_code(), too_long);
  }
  EXPECT_EQ(metrics_.refused(agg::Refusal::kMalformed), 5);
  EXPECT_EQ(coordinator_->upload_room(), room);
  ASSERT_TRUE(upload(header_of(tasks[0], ones_), ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED);
}

TEST_F(FederationProtocol, UploadsBeyondTheMemoryLimitAreToldToWait) {
  options_.upload_memory_max = 0;  // two updates fit, whatever the limit
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  const auto first = stand_still(header_of(tasks[0], ones_));
  const auto second = stand_still(header_of(tasks[1], ones_));
  UploadReply reply;
  EXPECT_EQ(upload(header_of(tasks[2], ones_), ones_, reply).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(metrics_.refused(agg::Refusal::kNoRoom), 1);
  for (Standing* call : {first.get(), second.get()}) {
    call->context.TryCancel();
    static_cast<void>(call->finish());
  }
}

TEST_F(FederationProtocol, ADiskThatIsFullEndsTheFederationWithTheStorageExitCode) {
  save_result_ = resource_exhausted("cannot write /models/round-00000001.safetensors: the disk is full");
  start();
  const auto tasks = begin_round();
  ASSERT_EQ(tasks.size(), 3U);
  UploadReply reply;
  for (int i = 0; i < 2; ++i)
    static_cast<void>(upload(header_of(tasks[static_cast<std::size_t>(i)], ones_), ones_, reply));
  const auto outcome = coordinator_->wait_outcome(20s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, kExitStorage);
  EXPECT_NE(outcome->message.find("the disk is full"), std::string::npos);
}

TEST_F(FederationProtocol, AModelWhoseLossIsNotFiniteEndsTheFederationAndIsNotKept) {
  start();
  UploadReply reply;
  for (std::int64_t round = 1; round <= 2; ++round) {
    const auto tasks = begin_round();
    ASSERT_EQ(tasks.size(), 3U);
    if (round == 2) test_loss_ = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < 2; ++i) ASSERT_TRUE(upload(header_of(tasks[i], ones_), ones_, reply).ok());
    ASSERT_TRUE(eventually([&] { return coordinator_->committed().model->round == round; }));
    ASSERT_TRUE(eventually([&] { return round == 2 || coordinator_->progress().history_size() == 1; }));
  }
  const auto outcome = coordinator_->wait_outcome(20s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 65);
  EXPECT_EQ(outcome->message,
            "the test loss of round 2 is not finite: training diverged; lower "
            "training.optimizer.learningRate. Round 2 is not kept");
  EXPECT_EQ(saved_.round, 1) << "the next process resumes from it";
  EXPECT_EQ(saved_.parameters, ones_);
  EXPECT_EQ(saved_.history.size(), 1U);
  EXPECT_EQ(coordinator_->progress().history_size(), 1);
}

TEST_F(FederationProtocol, AnAggregatorThatWasKilledAtItsTargetStopsThere) {
  options_.federation.target = spec::Target{.value = 0.5};
  start_.round = 2;
  start_.history = {{.at = 1, .loss = 1, .accuracy = 0.4}, {.at = 2, .loss = 1, .accuracy = 0.5}};
  start();
  const auto outcome = coordinator_->wait_outcome(20s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0);
  EXPECT_EQ(outcome->message, "round 2 had reached the target of 0.5");
  EXPECT_TRUE(coordinator_->progress().target_reached());
}

TEST_F(FederationProtocol, AFleetWhoseAggregatorIsGoneGivesUpInTime) {
  const auto fleet =
      device::Fleet::start({.aggregator = "127.0.0.1:1",
                            .credentials = pki_.of_pod("client", 0, "uid"),
                            .clients = 3,
                            .aggregator_timeout = 300ms},
                           [](int, std::int32_t, const device::TaskTicket&, std::span<const float>,
                              const auto&) { return Result<learning::LocalUpdate>(aborted("not reached")); });
  const auto end = fleet->wait(20s);
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, Code::kUnavailable);
  EXPECT_NE(end.error().message.find("(failed to connect"), std::string::npos) << end.error().message;
}

TEST_F(FederationProtocol, AFleetThatIsRefusedSaysSoAtOnce) {
  start();
  const auto fleet = device::Fleet::start(
      {.aggregator = address_, .credentials = pki_.of_pod("client", 1, "uid"), .clients = 1},
      [](int, std::int32_t, const device::TaskTicket&, std::span<const float>, const auto&) {
        return Result<learning::LocalUpdate>(aborted("not reached"));
      });
  const auto end = fleet->wait(20s);
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, Code::kPermissionDenied);
  EXPECT_NE(end.error().message.find("client 0 is played by client pod 0, not by pod 1"), std::string::npos)
      << end.error().message;
}

}  // namespace
}  // namespace muster
