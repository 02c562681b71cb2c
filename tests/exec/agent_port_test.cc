// tests/exec/agent_port_test.cc: the port of muster-exec against gRPC's own client, and against strangers
#include "exec/agent_port.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <csignal>
#include <deque>
#include <mutex>
#include <thread>

#include "common/platform/file_descriptor.h"
#include "exec/wire.h"
#include "proto/control.grpc.pb.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_pki.h"

namespace muster::exec {
namespace {

using control::v1::Agent;
using control::v1::AgentStatus;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

const PeerName kPod{.role = "worker", .index = 3, .uid = "u-1"};

// The port, served by a thread as main.cc does it.
class Served {
 public:
  explicit Served(AgentCalls calls) {
    std::signal(SIGPIPE, SIG_IGN);
    shared_test_pki().write(folder_.path(), kPod);
    auto port = AgentPort::open(
        {.ip = "127.0.0.1", .port = 0, .keys_folder = folder_.path().string(), .dns_name = dns_name(kPod)},
        std::move(calls));
    if (!port) throw std::runtime_error(port.error().message);
    port_ = std::move(*port);
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_->port()); }
  [[nodiscard]] int port() const { return port_->port(); }
  void publish(const Told& told) {
    const std::lock_guard lock(mutex_);
    next_ = write_status(told);
  }
  // Streams end then.
  void finish() { finishing_ = true; }

 private:
  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      {
        const std::lock_guard lock(mutex_);
        if (next_) port_->publish(*std::exchange(next_, std::nullopt));
      }
      if (finishing_) static_cast<void>(port_->finish(std::chrono::steady_clock::now()));
      std::vector<pollfd> waiting;
      port_->wanted(waiting);
      poll(waiting.data(), waiting.size(), 2);
      port_->served(waiting, std::chrono::steady_clock::now());
    }
  }
  TemporaryFolder folder_;
  std::unique_ptr<AgentPort> port_;
  std::mutex mutex_;
  std::optional<std::string> next_;
  std::atomic<bool> finishing_ = false;
  std::jthread thread_;
};

std::unique_ptr<Agent::Stub> stub_of(const std::shared_ptr<grpc::Channel>& channel) {
  return Agent::NewStub(channel);
}

grpc::Status configure(Agent::Stub& stub, const control::v1::Assignment& assignment) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 20s);
  control::v1::ConfigureReply reply;
  return stub.Configure(&context, assignment, &reply);
}

TEST(AgentPort, TakesAssignmentsFromTheOperator) {
  std::atomic<int> calls = 0;
  Served served({.configure = [&](std::string_view bytes) -> Status {
                   const auto read = read_assignment(bytes);
                   if (!read) return read.error();
                   ++calls;
                   if (read->membership == 2) return failed_precondition("100 % \xC3\xA4lter");
                   return {};
                 },
                 .watch = {}});
  const auto stub = stub_of(shared_test_pki().channel(served.address(), kPod));
  control::v1::Assignment assignment;
  assignment.set_membership(1);
  assignment.set_spec(std::string(100'000, 'x'));  // longer than a window of HTTP/2
  const grpc::Status taken = configure(*stub, assignment);
  EXPECT_TRUE(taken.ok()) << taken.error_message();
  assignment.set_membership(2);
  const grpc::Status refused = configure(*stub, assignment);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(refused.error_message(), "100 % \xC3\xA4lter");
  EXPECT_EQ(calls, 2);
  assignment.set_spec(std::string(300'000, 'x'));
  EXPECT_EQ(configure(*stub, assignment).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(calls, 2);
}

TEST(AgentPort, TellsItsStatusAtOnceAndEveryChange) {
  Served served({.configure = {}, .watch = [](std::string_view) { return Status(); }});
  served.publish({.membership = 1, .pod_uid = "p-1"});
  const auto stub = stub_of(shared_test_pki().channel(served.address(), kPod));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 20s);
  const auto reader = stub->Watch(&context, control::v1::WatchRequest());
  AgentStatus status;
  // The first may be of before publish() has come through.
  do {
    ASSERT_TRUE(reader->Read(&status));
  } while (status.membership() != 1);
  for (std::int64_t membership = 2; membership < 5; ++membership) {
    served.publish({.membership = membership, .pod_uid = "p-1"});
    ASSERT_TRUE(reader->Read(&status));
    EXPECT_EQ(status.membership(), membership);
  }
  served.finish();
  EXPECT_FALSE(reader->Read(&status));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST(AgentPort, RefusesAFollowerByItsWord) {
  Served served({.configure = {}, .watch = [](std::string_view) {
                   return Status(Error{Code::kPermissionDenied, "this is pod p-1"});
                 }});
  const auto stub = stub_of(shared_test_pki().channel(served.address(), kPod));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 20s);
  const auto reader = stub->Watch(&context, control::v1::WatchRequest());
  AgentStatus status;
  EXPECT_FALSE(reader->Read(&status));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST(AgentPort, TakesNothingFromAnybodyElse) {
  std::atomic<int> calls = 0;
  const auto count = [&](std::string_view) {
    ++calls;
    return Status();
  };
  Served served({.configure = count, .watch = count});
  const TestPki other;
  const PeerName sibling{.role = "worker", .index = 4, .uid = "u-1"};
  for (const Credentials& stranger :
       {shared_test_pki().of(sibling), shared_test_pki().of(kPod), other.of_operator()}) {
    const auto stub = stub_of(TestPki::channel(served.address(), kPod, stranger));
    EXPECT_EQ(configure(*stub, {}).error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  EXPECT_EQ(calls, 0);
}

FileDescriptor connect_to(int port, const char* from = "127.0.0.1") {
  FileDescriptor plain(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, from, &address.sin_addr);
  EXPECT_EQ(bind(plain.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  EXPECT_EQ(connect(plain.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return plain;
}

TEST(AgentPort, StrangersKeepNobodyOut) {
  Served served({.configure = [](std::string_view) { return Status(); }, .watch = {}});
  std::vector<FileDescriptor> silent;
  for (std::size_t i = 0; i < 3 * AgentPort::kStrangersMax; ++i) silent.push_back(connect_to(served.port()));
  const auto stub = stub_of(shared_test_pki().channel(served.address(), kPod));
  EXPECT_TRUE(configure(*stub, {}).ok());
  // Plaintext is hung up on.
  const FileDescriptor plain = connect_to(served.port());
  ASSERT_GT(send(plain.get(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, MSG_NOSIGNAL), 0);
  char bytes[256];
  while (recv(plain.get(), bytes, sizeof bytes, 0) > 0) {
  }
}

TEST(AgentPort, AFloodOfOneAddressPushesItselfOut) {
  Served served({.configure = [](std::string_view) { return Status(); }, .watch = {}});
  std::atomic<std::size_t> connected = 0;
  const std::jthread flood([&](const std::stop_token& stop) {
    std::deque<FileDescriptor> open;
    while (!stop.stop_requested()) {
      open.push_back(connect_to(served.port(), "127.0.0.2"));
      if (open.size() > 2 * AgentPort::kStrangersMax) open.pop_front();
      ++connected;
    }
  });
  while (connected < 2 * AgentPort::kStrangersMax) std::this_thread::yield();
  for (int i = 0; i < 5; ++i) {
    const auto stub = stub_of(shared_test_pki().channel(served.address(), kPod));
    const std::size_t before = connected;
    EXPECT_TRUE(configure(*stub, {}).ok()) << i << ", after " << connected;
    while (connected == before) std::this_thread::yield();  // it goes on meanwhile
  }
}

TEST(AgentPort, RefusesKeysThatAreNotItsOwn) {
  const TemporaryFolder folder;
  const AgentPort::Options options{
      .ip = "127.0.0.1", .port = 0, .keys_folder = folder.path().string(), .dns_name = dns_name(kPod)};
  const auto missing = AgentPort::open(options, {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("the muster operator mounts it"));
  shared_test_pki().write(folder.path(), {.role = "worker", .index = 4, .uid = "u-1"});
  const auto other = AgentPort::open(options, {});
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message,
              HasSubstr("worker-4.u-1.muster.dev, but the pod is worker-3.u-1.muster.dev"));
}

}  // namespace
}  // namespace muster::exec
