// tests/device/federation_identity_test.cc: hostile clients: what is another's stays another's, weights are
// bounded, each refusal is counted, and honest work goes on
#include <set>

#include "aggregator/shell/model_intake.h"
#include "tests/device/federation_fixture.h"

namespace muster {
namespace {

using agg::Refusal;
using grpc::StatusCode;

// Two pods of two clients: pod 0 is honest, pod 1 is not.
constexpr auto kDeniedByTls = StatusCode::UNAVAILABLE;  // the handshake failed: there is no connection

class FederationIdentity : public FederationFixture {
 protected:
  FederationIdentity() {
    options_.federation.clients_per_pod = 2;
    options_.federation.rounds = 1;
    options_.federation.cohort = {.size = 2, .over_selection = 2.0, .minimum = 1};
    options_.selection_grace = 20s;  // a round begins when all four have checked in, however slow they are
  }
  // The tasks of clients 0 to 3, all of which are selected.
  std::vector<Task> all_tasks() {
    std::vector<Task> tasks;
    for (const CheckInReply& reply : check_in_all(4, [&](auto client) { return stub_of_pod(client / 2); })) {
      EXPECT_TRUE(reply.has_task());
      tasks.push_back(reply.task());
    }
    return tasks;
  }
  std::unique_ptr<FederationStub> stub_of_pod(std::int64_t pod) const {
    return stub_of(pki_.of_pod("client", pod, "uid"));
  }
  // From here on calls are made by this pod.
  void become(std::int64_t pod) { stub_ = stub_of_pod(pod); }
  StatusCode download(const std::string& task_id) { return muster::download(*stub_, task_id).error_code(); }
  StatusCode offset(const std::string& task_id) {
    std::uint64_t held = 0;
    return upload_offset(*stub_, task_id, held).error_code();
  }
  void honest_clients_finish(const std::vector<Task>& tasks) {
    become(0);
    UploadReply reply;
    for (std::size_t i = 0; i < 2; ++i) {
      ASSERT_TRUE(upload(header_of(tasks[i], ones_), ones_, reply).ok());
      EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED) << reply.reason();
    }
    const auto outcome = coordinator_->wait_outcome(20s);
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->exit_code, 0) << outcome->message;
    EXPECT_EQ(coordinator_->committed().model->values, ones_);
  }
};

TEST_F(FederationIdentity, TaskIdsAreRandomAndNeverTheSame) {
  start();
  std::set<std::string> ids;
  for (const Task& task : all_tasks()) {
    ids.insert(task.task_id());
    EXPECT_EQ(task.task_id().size(), 32U);
    EXPECT_EQ(task.task_id().find_first_not_of("0123456789abcdef"), std::string::npos) << task.task_id();
  }
  EXPECT_EQ(ids.size(), 4U);
}

TEST_F(FederationIdentity, AnotherPodsTaskCannotBeReadAnsweredOrErased) {
  start();
  const auto tasks = all_tasks();
  const auto running = stand_still(header_of(tasks[0], ones_));
  become(1);
  UploadReply reply;
  UploadHeader forged = header_of(tasks[0], ones_);
  EXPECT_EQ(download(tasks[0].task_id()), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(offset(tasks[0].task_id()), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(upload(forged, ones_, reply).error_code(), StatusCode::PERMISSION_DENIED);
  forged.set_failure("forged");
  EXPECT_EQ(upload(forged, {}, reply).error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(metrics_.refused(Refusal::kTaskOfAnother), 4);
  // The running upload was not touched: the rest of it is all that is missing.
  become(0);
  UploadRequest rest;
  const auto bytes = std::as_bytes(std::span(ones_));
  bool good = true;
  for (std::size_t at = 4; good && at < bytes.size(); at += 256 << 10) {
    const auto part = bytes.subspan(at, std::min<std::size_t>(256 << 10, bytes.size() - at));
    rest.mutable_chunk()->set_offset(at);
    rest.mutable_chunk()->mutable_data()->assign(reinterpret_cast<const char*>(part.data()), part.size());
    good = running->writer->Write(rest);
  }
  running->writer->WritesDone();
  const grpc::Status damaged = running->finish();  // its first bytes were "abcd", not the header's
  EXPECT_EQ(damaged.error_code(), StatusCode::DATA_LOSS) << damaged.error_message();
  honest_clients_finish(tasks);
}

TEST_F(FederationIdentity, ForgedTasksAreUnknownAndCounted) {
  start();
  const auto tasks = all_tasks();
  become(1);
  UploadReply reply;
  UploadHeader forged = header_of(tasks[2], ones_);
  forged.set_task_id("0123456789abcdef0123456789abcdef");
  EXPECT_EQ(upload(forged, ones_, reply).error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(download(forged.task_id()), StatusCode::NOT_FOUND);
  EXPECT_EQ(offset(forged.task_id()), StatusCode::NOT_FOUND);
  EXPECT_EQ(metrics_.refused(Refusal::kUnknownTask), 3);
  honest_clients_finish(tasks);
}

TEST_F(FederationIdentity, NobodyChecksInForClientsThatHeDoesNotPlay) {
  start();
  become(1);
  CheckInReply reply;
  const grpc::Status status = check_in(0, reply);
  EXPECT_EQ(status.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_NE(status.error_message().find("client 0 is played by client pod 0, not by pod 1"),
            std::string::npos)
      << status.error_message();
  EXPECT_EQ(metrics_.refused(Refusal::kClientOfAnother), 1);
  honest_clients_finish(all_tasks());
}

TEST_F(FederationIdentity, WhoCannotProveToBeAClientOfThisFederationGetsNowhere) {
  start();
  const auto tasks = all_tasks();
  const TestPki other;
  const PeerName client{.role = "client", .index = 0, .uid = "uid"};
  const auto aggregator =
      [&](const Credentials& own) {  // with a stranger's authority, the server is none either
        return stub_of(own);
      };
  CheckInReply check;
  UploadReply reply;
  const auto everything_is = [&](StatusCode code) {
    EXPECT_EQ(check_in(0, check).error_code(), code);
    EXPECT_EQ(download(tasks[0].task_id()), code);
    EXPECT_EQ(offset(tasks[0].task_id()), code);
    EXPECT_EQ(upload(header_of(tasks[0], ones_), ones_, reply).error_code(), code);
  };
  // In by its certificate, refused by its name at every call.
  for (const PeerName& name : {PeerName{.role = "client", .index = 0, .uid = "another"},
                               PeerName{.role = "worker", .index = 0, .uid = "uid"},
                               PeerName{.role = "aggregator", .index = 0, .uid = "uid"}, operator_name()}) {
    SCOPED_TRACE(dns_name(name));
    stub_ = aggregator(pki_.of(name));
    everything_is(StatusCode::PERMISSION_DENIED);
  }
  EXPECT_EQ(metrics_.refused("name"), 4 * 4);
  // Not let in at all.
  stub_ = aggregator(other.of(client));
  everything_is(kDeniedByTls);
  stub_ =
      federation::v1::Federation::NewStub(grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
  everything_is(kDeniedByTls);
  EXPECT_TRUE(eventually([&] { return metrics_.refused("handshake") >= 1; }));
  EXPECT_TRUE(eventually([&] { return metrics_.refused("plaintext") >= 1; }));
  honest_clients_finish(tasks);
}

TEST_F(FederationIdentity, OfAStreamAnUpdateWeighsNoMoreThanHasComeToItsClient) {
  options_.examples_max = {5, 5, 5, 5};
  options_.federation.stream = spec::Stream{.initial_examples = 2, .examples_per_round = 1};
  start();
  const auto tasks = all_tasks();
  become(0);
  UploadReply reply;
  UploadHeader header = header_of(tasks[0], ones_);
  header.set_examples(3);
  ASSERT_TRUE(upload(header, ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::REJECTED);
  EXPECT_NE(reply.reason().find("claims 3 examples, its part of the data has 2 in this round"),
            std::string::npos)
      << reply.reason();
  header = header_of(tasks[1], ones_);
  header.set_examples(2);
  ASSERT_TRUE(upload(header, ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED) << reply.reason();
}

TEST_F(FederationIdentity, AnUpdateWeighsNoMoreThanItsClientHolds) {
  options_.examples_max = {1, 1, 5, 5};
  options_.federation.cohort.max_examples_per_client = 4;
  start();
  const auto tasks = all_tasks();
  become(1);
  const std::vector<float> poison(kParameters, 1000.0F);
  UploadReply reply;
  for (const auto& [task, claim, reason] :
       {std::tuple{tasks[2], std::uint64_t{1} << 40, "maxExamplesPerClient is 4"},
        std::tuple{tasks[3], std::uint64_t{5}, "maxExamplesPerClient is 4"}}) {
    UploadHeader header = header_of(task, poison);
    header.set_examples(claim);
    ASSERT_TRUE(upload(header, poison, reply).ok());
    EXPECT_EQ(reply.verdict(), UploadReply::REJECTED);
    EXPECT_NE(reply.reason().find(reason), std::string::npos) << reply.reason();
  }
  EXPECT_EQ(metrics_.refused(Refusal::kTooManyExamples), 2);
  become(0);
  UploadHeader header = header_of(tasks[0], ones_);
  ASSERT_TRUE(upload(header, ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED) << reply.reason();
  header = header_of(tasks[1], ones_);
  header.set_examples(2);
  ASSERT_TRUE(upload(header, ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::REJECTED);
  EXPECT_NE(reply.reason().find("claims 2 examples, its part of the data has 1"), std::string::npos)
      << reply.reason();
  const auto outcome = coordinator_->wait_outcome(20s);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(coordinator_->committed().model->values, ones_);
}

// A federation of programs serves before it has a model: all calls, by the same names.
TEST(FederationOfPrograms, StrangersAreRefusedByTheirNameBeforeThereIsAModel) {
  agg::AggregatorMetrics metrics;
  agg::ModelIntake intake(1 << 20);
  const TestPki& pki = shared_test_pki();
  auto server = agg::FederationServer::start(
      {.ip = "127.0.0.1", .port = 0, .credentials = pki.of_pod("aggregator", 0, "uid")}, intake, metrics, 5);
  ASSERT_TRUE(server) << server.error().message;
  const auto calls_of = [&](const PeerName& name) {
    const auto stub = federation_stub(fmt::format("127.0.0.1:{}", (*server)->port()), "uid", pki.of(name));
    CheckInReply check;
    std::uint64_t held = 0;
    UploadReply reply;
    const std::vector<float> ones{1};
    std::vector<StatusCode> codes{check_in(*stub, 0, check).error_code(),
                                  download(*stub, "task").error_code(),
                                  upload_offset(*stub, "task", held).error_code(),
                                  upload(*stub, UploadHeader(), ones, reply).error_code()};
    grpc::ClientContext context;
    limit(context);
    federation::v1::ModelOfferReply wanted;
    federation::v1::ModelOffer offer;
    const auto bytes = program::write_tensors({{"w", {1}}});
    offer.mutable_tensors()->set_tensors(bytes.data(), bytes.size());
    auto writer = stub->OfferModel(&context, &wanted);
    writer->Write(offer);
    writer->WritesDone();
    codes.push_back(writer->Finish().error_code());
    return codes;
  };
  for (const PeerName& name : {PeerName{.role = "client", .index = 0, .uid = "another"},
                               PeerName{.role = "worker", .index = 0, .uid = "uid"}, operator_name()})
    EXPECT_EQ(calls_of(name), std::vector<StatusCode>(5, StatusCode::PERMISSION_DENIED)) << dns_name(name);
  EXPECT_EQ(metrics.refused("name"), 3 * 5);
  std::vector<StatusCode> of_client(5, StatusCode::UNAVAILABLE);
  of_client.back() = StatusCode::OK;
  EXPECT_EQ(calls_of({.role = "client", .index = 0, .uid = "uid"}), of_client);
}

}  // namespace
}  // namespace muster
