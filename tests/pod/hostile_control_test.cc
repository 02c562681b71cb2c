// tests/pod/hostile_control_test.cc: the Agent's port against those who are not the operator
//
// Goal: nobody but the operator makes a call, each refusal is counted by its reason, and the operator's calls
// go on all the while, with memory bounded.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/host_port.h"
#include "common/platform/file_descriptor.h"
#include "pod/agent_server.h"
#include "proto/control.grpc.pb.h"
#include "tests/support/pod_figures.h"
#include "tests/support/test_pki.h"

namespace muster {
namespace {

using control::v1::Agent;
using std::chrono::milliseconds;
using std::chrono::seconds;

const PeerName kPod{.role = "worker", .index = 3, .uid = "u-1"};

control::v1::Assignment assignment() {
  control::v1::Assignment made;
  made.set_uid("u-1");
  made.set_membership(1);
  made.mutable_client()->set_clients(1);
  return made;
}

std::shared_ptr<grpc::ChannelCredentials> raw(const Credentials::Pem& pem) {
  return grpc::SslCredentials(
      {.pem_root_certs = pem.authority, .pem_private_key = pem.key, .pem_cert_chain = pem.certificate});
}

class HostileControl : public testing::Test {
 protected:
  void serve(milliseconds patience = seconds(5)) {
    auto server = AgentServer::start({.ip = "127.0.0.1",
                                      .credentials = pki_.of(kPod),
                                      .job_uid = "u-1",
                                      .pod_uid = "p-1",
                                      .accept = {},
                                      .refused =
                                          [this](std::string_view reason) {
                                            const std::scoped_lock lock(mutex_);
                                            ++refused_[std::string(reason)];
                                            changed_.notify_all();
                                          },
                                      .stranger_patience = patience});
    ASSERT_TRUE(server) << server.error().message;
    server_ = *std::move(server);
  }
  [[nodiscard]] std::string address() const { return host_port("127.0.0.1", server_->port()); }

  grpc::Status configure(const std::shared_ptr<grpc::Channel>& channel, bool wait = false) {
    const auto stub = Agent::NewStub(channel);
    grpc::ClientContext context;
    context.set_wait_for_ready(wait);
    context.set_deadline(std::chrono::system_clock::now() + seconds(30));
    control::v1::ConfigureReply reply;
    return stub->Configure(&context, assignment(), &reply);
  }
  grpc::Status configure_with(const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    grpc::ChannelArguments arguments;
    Credentials::expect(kPod, arguments);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return configure(grpc::CreateCustomChannel(address(), credentials, arguments));
  }
  grpc::Status configure_as_operator() { return configure(pki_.channel(address(), kPod), true); }

  FileDescriptor connect(const char* from = "127.0.0.1") {
    FileDescriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in self{};
    self.sin_family = AF_INET;
    inet_pton(AF_INET, from, &self.sin_addr);
    sockaddr_in peer = self;
    inet_pton(AF_INET, "127.0.0.1", &peer.sin_addr);
    peer.sin_port = htons(static_cast<std::uint16_t>(server_->port()));
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&self), sizeof self), 0);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer), 0);
    return fd;
  }
  static void say(const FileDescriptor& fd, std::string_view text) {
    EXPECT_EQ(send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // Waits for the other side to hang up.
  static void drain(const FileDescriptor& fd) {
    char buffer[512];
    while (recv(fd.get(), buffer, sizeof buffer, 0) > 0) {
    }
  }
  int wait_for(const std::string& reason, int count = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, seconds(30), [&] { return refused_[reason] >= count; });
    return refused_[reason];
  }

  TestPki pki_;
  TestPki other_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> refused_;
  std::unique_ptr<AgentServer> server_;  // last: it calls back
};

TEST_F(HostileControl, ACertificateOfAnotherAuthorityEndsTheHandshake) {
  serve();
  Credentials::Pem pem = other_.pem(operator_name());
  pem.authority = pki_.authority().certificate();
  EXPECT_EQ(configure_with(raw(pem)).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_GE(wait_for("handshake"), 1);
  EXPECT_EQ(server_->membership(), 0);
  EXPECT_TRUE(configure_as_operator().ok());
}

TEST_F(HostileControl, AnExpiredCertificateEndsTheHandshake) {
  serve();
  EXPECT_EQ(configure_with(raw(pki_.expired(operator_name()))).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_GE(wait_for("handshake"), 1);
  EXPECT_TRUE(configure_as_operator().ok());
}

TEST_F(HostileControl, NoCertificateEndsTheHandshake) {
  serve();
  EXPECT_EQ(configure_with(grpc::SslCredentials({.pem_root_certs = pki_.authority().certificate(),
                                                 .pem_private_key = {},
                                                 .pem_cert_chain = {}}))
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_GE(wait_for("handshake"), 1);
  EXPECT_TRUE(configure_as_operator().ok());
}

TEST_F(HostileControl, ARightCertificateOfSomebodyElseIsRefusedOnEveryCall) {
  serve();
  int refused = 0;
  for (const PeerName& name :
       {PeerName{"worker", 3, "u-1"}, PeerName{"worker", 0, "u-1"}, PeerName{"client", 3, "u-1"},
        PeerName{"aggregator", 0, "u-2"}, PeerName{"operator", 0, "u-1"}}) {
    const auto channel = pki_.channel(address(), kPod, pki_.of(name));
    const grpc::Status answer = configure(channel);
    EXPECT_EQ(answer.error_code(), grpc::StatusCode::PERMISSION_DENIED) << dns_name(name);
    EXPECT_THAT(answer.error_message(), testing::HasSubstr(dns_name(name)));
    grpc::ClientContext context;
    control::v1::AgentStatus status;
    const auto watch = Agent::NewStub(channel)->Watch(&context, {});
    EXPECT_FALSE(watch->Read(&status)) << dns_name(name);
    EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
    refused += 2;
  }
  EXPECT_EQ(wait_for("name", refused), refused);
  EXPECT_EQ(server_->membership(), 0);
  EXPECT_TRUE(configure_as_operator().ok());
}

TEST_F(HostileControl, WhoeverIsRefusedIsHungUpOnSoon) {
  serve(seconds(60));
  const auto channel = pki_.channel(address(), kPod, pki_.of({"worker", 0, "u-1"}));
  EXPECT_EQ(configure(channel).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(
      channel->WaitForStateChange(GRPC_CHANNEL_READY, std::chrono::system_clock::now() + seconds(30)));
  const std::scoped_lock lock(mutex_);
  EXPECT_EQ(refused_["late"] + refused_["handshake"], 0) << "it is counted already";
}

TEST_F(HostileControl, OnePeerHasRoomForSoManyConnectionsAndItsOldestGoes) {
  serve();
  struct Watching {
    std::unique_ptr<Agent::Stub> stub;
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<control::v1::AgentStatus>> reader;
  };
  std::vector<std::unique_ptr<Watching>> all;
  control::v1::AgentStatus status;
  for (int i = 0; i < 9; ++i) {
    auto& one = *all.emplace_back(std::make_unique<Watching>());
    one.stub = Agent::NewStub(pki_.channel(address(), kPod));
    one.context.set_deadline(std::chrono::system_clock::now() + seconds(30));
    one.reader = one.stub->Watch(&one.context, {});
    ASSERT_TRUE(one.reader->Read(&status));
  }
  EXPECT_FALSE(all.front()->reader->Read(&status));
  EXPECT_EQ(all.front()->reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(wait_for("crowded"), 1);
  status.set_phase(control::v1::PHASE_RUNNING);
  server_->publish(status);
  for (std::size_t i = 1; i < all.size(); ++i) {
    EXPECT_TRUE(all[i]->reader->Read(&status)) << i;
    all[i]->context.TryCancel();
  }
}

// gRPC compares the size before it inflates.
TEST_F(HostileControl, ACompressedMessageIsNotTaken) {
  serve();
  grpc::ChannelArguments arguments;  // not by Credentials::expect, which lets nobody compress
  arguments.SetSslTargetNameOverride(dns_name(kPod));
  const auto stub =
      Agent::NewStub(grpc::CreateCustomChannel(address(), raw(pki_.pem(operator_name())), arguments));
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  control::v1::Assignment bomb = assignment();
  bomb.set_membership_key(std::string(16 << 20, '\0'));
  control::v1::ConfigureReply reply;
  EXPECT_EQ(stub->Configure(&context, bomb, &reply).error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(server_->membership(), 0);
  EXPECT_TRUE(configure_as_operator().ok());
}

TEST_F(HostileControl, ACertificateThatNamesNoPeerIsUnauthenticated) {
  serve();
  for (const char* dns : {"www.example.com", "operator.muster.dev.example.com", "*.muster.dev"})
    EXPECT_EQ(configure_with(raw(pki_.pem(std::string(dns)))).error_code(), grpc::StatusCode::UNAUTHENTICATED)
        << dns;
  EXPECT_EQ(wait_for("name", 3), 3);
  EXPECT_TRUE(configure_as_operator().ok());
}

TEST_F(HostileControl, AServerThatCannotProveItsNameGetsNoCall) {
  serve();
  for (const PeerName& expected : {PeerName{"worker", 4, "u-1"}, PeerName{"worker", 3, "u-2"}})
    EXPECT_EQ(configure(pki_.channel(address(), expected)).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(configure(other_.channel(address(), kPod)).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(server_->membership(), 0);
}

TEST_F(HostileControl, PlaintextIsHungUpOn) {
  serve();
  EXPECT_FALSE(configure_with(grpc::InsecureChannelCredentials()).ok());
  const FileDescriptor http = connect();
  say(http, "GET /metrics HTTP/1.1\r\n\r\n");
  drain(http);
  EXPECT_GE(wait_for("plaintext", 2), 2);
  EXPECT_TRUE(configure_as_operator().ok());
}

TEST_F(HostileControl, GarbageThatBeginsLikeTlsEndsTheHandshake) {
  serve();
  const FileDescriptor garbage = connect();
  say(garbage, std::string("\x16\x03\x01\x00\x40", 5) + std::string(64, 'x'));
  drain(garbage);
  EXPECT_GE(wait_for("handshake"), 1);
  EXPECT_TRUE(configure_as_operator().ok());
}

TEST_F(HostileControl, WhoeverSaysNothingOrStopsInTheMiddleHasLittleTime) {
  serve(milliseconds(300));
  const FileDescriptor silent = connect();
  const FileDescriptor slow = connect();
  say(slow, std::string("\x16\x03\x01\x02\x00\x01", 6));  // the head of a ClientHello, and no more
  drain(silent);
  drain(slow);
  EXPECT_EQ(wait_for("silent"), 1);
  std::unique_lock lock(mutex_);
  const auto ended = [&] { return refused_["late"] + refused_["handshake"]; };
  changed_.wait_for(lock, seconds(30), [&] { return ended() > 0; });
  EXPECT_EQ(ended(), 1) << "by our clock or by gRPC's, which is the same";
}

TEST_F(HostileControl, OfStrangersFromOneAddressEachTheOldestGoes) {
  serve();
  std::vector<FileDescriptor> strangers;
  for (int i = 1; i <= 63; ++i) strangers.push_back(connect(("127.5.0." + std::to_string(i)).c_str()));
  const FileDescriptor first_by_text = connect("127.0.0.1");
  const FileDescriptor one_more = connect("127.5.1.1");
  drain(strangers.front());
  EXPECT_EQ(wait_for("crowded"), 1);
  char byte = 0;
  EXPECT_EQ(recv(first_by_text.get(), &byte, 1, MSG_DONTWAIT), -1) << "it was hung up on";
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(HostileControl, ThousandsOfConnectionsInTurnsKeepTheOperatorNeitherOutNorWaiting) {
  serve();
  grpc::ClientContext context;
  const auto stub = Agent::NewStub(pki_.channel(address(), kPod));
  const auto watch = stub->Watch(&context, {});
  control::v1::AgentStatus status;
  ASSERT_TRUE(watch->Read(&status));
  const std::int64_t before = status_kib(getpid(), "VmRSS");
  std::atomic<bool> over = false;
  std::atomic<int> connections = 0;
  std::thread flood([&] {
    std::vector<FileDescriptor> held(200);
    for (std::size_t i = 0; !over || connections < 3000; ++i, ++connections) {
      held[i % held.size()] = connect("127.9.9.9");
      // Those that were hung up on meanwhile do not matter.
      if (i % 2 == 0) send(held[i % held.size()].get(), "\x16\x03\x01\x02\x00\x01", 6, MSG_NOSIGNAL);
    }
  });
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(configure_as_operator().ok()) << "a new connection each";
  over = true;
  flood.join();
  status.set_phase(control::v1::PHASE_RUNNING);
  server_->publish(status);
  ASSERT_TRUE(watch->Read(&status)) << "what was there before goes on";
  EXPECT_EQ(status.phase(), control::v1::PHASE_RUNNING);
  EXPECT_GT(wait_for("crowded", 1000), 1000);
  EXPECT_LT(status_kib(getpid(), "VmRSS") - before, 64 << 10);
  context.TryCancel();
}

}  // namespace
}  // namespace muster
