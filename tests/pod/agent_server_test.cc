// tests/pod/agent_server_test.cc: the Agent service over real gRPC: assignments, coalesced statuses, a
// quick end
#include "pod/agent_server.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "common/base/host_port.h"
#include "pod/status_limits.h"
#include "proto/control.grpc.pb.h"
#include "tests/support/test_pki.h"

namespace muster {
namespace {

using control::v1::Agent;
using control::v1::AgentStatus;
using control::v1::Assignment;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

const TestPki& pki() { return shared_test_pki(); }

AgentServer::Options pod_options() {
  return {.ip = "127.0.0.1",
          .credentials = pki().of_pod("worker", 3, "u-1"),
          .job_uid = "u-1",
          .pod_uid = "p-1",
          .accept = {}};
}

std::unique_ptr<AgentServer> start(AgentServer::Options options = pod_options()) {
  auto server = AgentServer::start(std::move(options));
  EXPECT_TRUE(server) << server.error().message;
  return *std::move(server);
}

std::unique_ptr<Agent::Stub> dial(const AgentServer& server, const std::string& ip = "127.0.0.1") {
  return Agent::NewStub(pki().channel(host_port(ip, server.port()), {"worker", 3, "u-1"}));
}

Assignment assignment(std::int64_t membership, const std::string& uid = "u-1") {
  Assignment made;
  made.set_uid(uid);
  made.set_membership(membership);
  made.mutable_worker()->set_rank(3);
  for (int rank = 0; rank < 4; ++rank) made.mutable_worker()->add_roster()->set_pod_uid("p-1");
  return made;
}

grpc::Status configure(Agent::Stub& stub, const Assignment& made) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(30));
  control::v1::ConfigureReply reply;
  return stub.Configure(&context, made, &reply);
}

AgentStatus running(std::int64_t step) {
  AgentStatus status;
  status.set_phase(control::v1::PHASE_RUNNING);
  status.mutable_worker()->set_step(step);
  return status;
}

bool has_ipv6_loopback() {
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  const bool has = bind(fd, reinterpret_cast<const sockaddr*>(&loopback), sizeof loopback) == 0;
  close(fd);
  return has;
}

struct Watch {
  explicit Watch(Agent::Stub& stub, const control::v1::WatchRequest& request = {}) {
    context.set_deadline(std::chrono::system_clock::now() + seconds(30));
    reader = stub.Watch(&context, request);
  }
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<AgentStatus>> reader;
};

TEST(AgentServer, GivesTheAssignmentOnceAndTakesTheSameOneAgain) {
  const auto server = start();
  const auto stub = dial(*server);
  EXPECT_TRUE(configure(*stub, assignment(2)).ok());
  EXPECT_TRUE(configure(*stub, assignment(2)).ok());
  auto again = assignment(2);
  again.mutable_worker()->set_rank(1);
  const grpc::Status other = configure(*stub, again);
  EXPECT_EQ(other.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(other.error_message(), HasSubstr("with another worker.rank"));
  const auto got = server->wait_for_assignment(0, deadline_after(seconds(10)));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->worker().rank(), 3) << "the second one must change nothing";
}

TEST(AgentServer, AStatusOfAnyLengthReachesTheOperator) {
  const auto server = start();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kStatusBytesMax);  // as the operator's
  const auto stub =
      Agent::NewStub(pki().channel(host_port("127.0.0.1", server->port()), {"worker", 3, "u-1"}, arguments));
  Watch watch(*stub);
  AgentStatus status;
  ASSERT_TRUE(watch.reader->Read(&status));
  AgentStatus longest = running(7);
  longest.set_phase(control::v1::PHASE_FAILED);
  longest.set_message("the data has no column " + std::string(1 << 20, 'x'));
  for (int i = 0; i < 1'000; ++i) longest.add_warnings(std::string(10'000, 'w'));
  server->publish(longest);
  ASSERT_TRUE(watch.reader->Read(&status)) << watch.reader->Finish().error_message();
  EXPECT_EQ(status.phase(), control::v1::PHASE_FAILED);
  EXPECT_EQ(status.worker().step(), 7);
  EXPECT_EQ(status.message(), longest.message().substr(0, kStatusMessageBytesMax));
  ASSERT_EQ(status.warnings_size(), kStatusWarningsMax);
  EXPECT_EQ(status.warnings(15), std::string(kStatusWarningBytesMax, 'w'));
  watch.context.TryCancel();
}

TEST(AgentServer, RefusesOtherJobsOlderMembershipsAndWhatTheProgramCannotPlay) {
  std::atomic<bool> accepts = false;
  auto options = pod_options();
  options.accept = [&](const Assignment&) -> Status {
    return accepts ? Status() : invalid_argument("spec.training.model: is missing");
  };
  const auto server = start(std::move(options));
  const auto stub = dial(*server);
  EXPECT_EQ(configure(*stub, assignment(2, "u-2")).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(configure(*stub, assignment(0)).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const grpc::Status unplayable = configure(*stub, assignment(2));
  EXPECT_EQ(unplayable.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(unplayable.error_message(), "spec.training.model: is missing");
  accepts = true;
  EXPECT_TRUE(configure(*stub, assignment(2)).ok());
  EXPECT_EQ(configure(*stub, assignment(1)).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST(AgentServer, RefusesARosterThatDoesNotNameThisPodAtItsRank) {
  const auto server = start();
  const auto stub = dial(*server);
  auto others = assignment(1);
  others.mutable_worker()->mutable_roster(3)->set_pod_uid("p-2");
  EXPECT_EQ(configure(*stub, others).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  auto beyond = assignment(1);
  beyond.mutable_worker()->set_rank(4);
  EXPECT_EQ(configure(*stub, beyond).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(server->membership(), 0);
}

TEST(AgentServer, WhoMeansAnotherPodAtThisAddressIsRefused) {
  const auto server = start();
  const auto stub = dial(*server);
  auto meant_for_another = assignment(1);
  meant_for_another.set_pod_uid("p-0");
  EXPECT_EQ(configure(*stub, meant_for_another).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  control::v1::WatchRequest request;
  request.set_pod_uid("p-0");
  Watch follower(*stub, request);
  AgentStatus status;
  EXPECT_FALSE(follower.reader->Read(&status));
  EXPECT_EQ(follower.reader->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  request.set_pod_uid("p-1");
  Watch right(*stub, request);
  ASSERT_TRUE(right.reader->Read(&status));
  EXPECT_EQ(status.pod_uid(), "p-1");
}

TEST(AgentServer, WhoKnowsOfAnOlderMembershipOnlyIsRefused) {
  const auto server = start();
  const auto stub = dial(*server);
  EXPECT_TRUE(configure(*stub, assignment(4)).ok());
  control::v1::WatchRequest request;
  request.set_membership(3);
  Watch outdated(*stub, request);
  AgentStatus status;
  EXPECT_FALSE(outdated.reader->Read(&status));
  EXPECT_EQ(outdated.reader->Finish().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  request.set_membership(4);
  Watch present(*stub, request);
  EXPECT_TRUE(present.reader->Read(&status));
}

TEST(AgentServer, ANewerMembershipTakesThePlaceOfThePresentOne) {
  std::atomic<std::int64_t> superseded = 0;
  auto options = pod_options();
  options.superseded = [&](std::int64_t membership) { superseded = membership; };
  const auto server = start(std::move(options));
  const auto stub = dial(*server);
  EXPECT_TRUE(configure(*stub, assignment(1)).ok());
  EXPECT_EQ(superseded, 0);
  EXPECT_TRUE(configure(*stub, assignment(4)).ok());
  EXPECT_EQ(superseded, 4);
  const auto got = server->wait_for_assignment(1, deadline_after(seconds(10)));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->membership(), 4);
  EXPECT_EQ(server->wait_for_assignment(4, deadline_after(milliseconds(1))).error().code,
            Code::kDeadlineExceeded);
}

TEST(AgentServer, AWatcherSeesThePresentStatusThenTheNewestAndPhasesAtOnce) {
  auto options = pod_options();
  options.interval = seconds(3600);
  const auto server = start(std::move(options));
  const auto stub = dial(*server);
  Watch watch(*stub);
  AgentStatus status;
  ASSERT_TRUE(watch.reader->Read(&status));
  EXPECT_EQ(status.phase(), control::v1::PHASE_WAITING);
  server->publish(running(1));  // a new phase: goes out in spite of the interval
  ASSERT_TRUE(watch.reader->Read(&status));
  EXPECT_EQ(status.worker().step(), 1);
  for (int step = 2; step <= 1000; ++step) server->publish(running(step));  // wait for the interval to pass
  AgentStatus done = running(1001);
  done.set_phase(control::v1::PHASE_SUCCEEDED);
  server->publish(done);
  ASSERT_TRUE(watch.reader->Read(&status));
  EXPECT_EQ(status.phase(), control::v1::PHASE_SUCCEEDED);
  EXPECT_EQ(status.worker().step(), 1001);
}

TEST(AgentServer, AtMostOneStatusAnIntervalAndTheNewestOfThem) {
  auto options = pod_options();
  options.interval = milliseconds(50);
  const auto server = start(std::move(options));
  const auto stub = dial(*server);
  Watch watch(*stub);
  AgentStatus status;
  ASSERT_TRUE(watch.reader->Read(&status));
  const auto begin = steady_clock::now();
  int published = 0;
  std::thread publisher([&] {
    for (published = 1; steady_clock::now() - begin < milliseconds(400); ++published) {
      server->publish(running(published));
      std::this_thread::yield();
    }
    server->publish(running(1'000'000'000));
  });
  int seen = 0;
  while (status.worker().step() != 1'000'000'000 && watch.reader->Read(&status)) ++seen;
  const auto took = steady_clock::now() - begin;
  publisher.join();
  EXPECT_LE(seen, took / milliseconds(50) + 2);
  EXPECT_GT(published, seen);
}

TEST(AgentServer, StopsWithinASecondWithManyWatchersEvenOnesThatDoNotRead) {
  const auto server = start();
  std::vector<std::unique_ptr<Agent::Stub>> stubs;
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < 20; ++i) {
    stubs.push_back(dial(*server));
    watches.push_back(std::make_unique<Watch>(*stubs.back()));
    AgentStatus status;
    ASSERT_TRUE(watches.back()->reader->Read(&status));
  }
  AgentStatus big = running(1);
  big.set_message(std::string(std::size_t{1} << 20U, 'x'));  // more than a stream takes without a reader
  server->publish(big);
  const auto begin = steady_clock::now();
  server->stop();
  EXPECT_LT(steady_clock::now() - begin, seconds(2 * MUSTER_TIMEOUT_FACTOR))
      << "0.6 s and what a loaded machine adds";
}

TEST(AgentServer, WatchersGetTheLastStatusBeforeTheEnd) {
  const auto server = start();
  const auto stub = dial(*server);
  Watch watch(*stub);
  AgentStatus status;
  ASSERT_TRUE(watch.reader->Read(&status));
  std::thread ender([&] {
    server->publish(running(7));
    server->publish(running(8));
    server->stop();
  });
  while (watch.reader->Read(&status)) {
  }
  ender.join();
  EXPECT_EQ(status.worker().step(), 8);
}

TEST(AgentServer, StopsAtOnceWhenNobodyWatches) {
  const auto server = start();
  const auto begin = steady_clock::now();
  server->stop();
  EXPECT_LT(steady_clock::now() - begin, milliseconds(400));
}

TEST(AgentServer, ACancelEndsTheWaitAndADeadlineSaysWhoIsMissing) {
  const auto server = start();
  const auto late = server->wait_for_assignment(0, deadline_after(milliseconds(20)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::kDeadlineExceeded);
  EXPECT_THAT(late.error().message, HasSubstr("muster-operator"));
  std::thread canceller([&] { server->cancel(); });
  EXPECT_EQ(server->wait_for_assignment(0, deadline_after(seconds(30))).error().code, Code::kAborted);
  canceller.join();
}

TEST(AgentServer, ServesOnAnIpv6Address) {
  if (!has_ipv6_loopback()) GTEST_SKIP() << "this machine has no IPv6";
  auto options = pod_options();
  options.ip = "::1";
  options.stranger_patience = milliseconds(300);
  const auto server = start(std::move(options));
  const auto stub = dial(*server, "::1");
  Watch watch(*stub);
  AgentStatus status;
  ASSERT_TRUE(watch.reader->Read(&status));
  server->publish(running(1));
  ASSERT_TRUE(watch.reader->Read(&status));
  EXPECT_TRUE(configure(*stub, assignment(1)).ok());
}

TEST(AgentServer, APortInUseIsNamed) {
  const auto first = start();
  auto options = pod_options();
  options.port = first->port();
  const auto second = AgentServer::start(std::move(options));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kAlreadyExists);
  EXPECT_THAT(second.error().message, HasSubstr(fmt::format("127.0.0.1:{}", first->port())));
}

}  // namespace
}  // namespace muster
