// tests/operator/shell/agent_client_test.cc: the control channel against a real gRPC server on loopback
#include "operator/control/agent_client.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "proto/control.grpc.pb.h"

namespace muster::op {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class FakeAgent final : public control::v1::Agent::Service {
 public:
  grpc::Status Configure(grpc::ServerContext*, const control::v1::Assignment* request,
                         control::v1::ConfigureReply*) override {
    const std::lock_guard lock(mutex_);
    configured_ = *request;
    return answer_;
  }
  grpc::Status Watch(grpc::ServerContext* context, const control::v1::WatchRequest*,
                     grpc::ServerWriter<control::v1::AgentStatus>* writer) override {
    std::unique_lock lock(mutex_);
    ++watches_;
    changed_.notify_all();
    std::int64_t told = -1;
    while (!context->IsCancelled() && !ending_) {
      if (told != step_) {
        told = step_;
        control::v1::AgentStatus status;
        status.set_generation(2);
        status.set_phase(control::v1::PHASE_RUNNING);
        status.mutable_worker()->set_step(step_);
        if (!writer->Write(status)) break;
      }
      changed_.wait_for(lock, milliseconds(20));
    }
    --watches_;
    changed_.notify_all();
    return grpc::Status::OK;
  }
  void set_step(std::int64_t step) {
    const std::lock_guard lock(mutex_);
    step_ = step;
    changed_.notify_all();
  }
  void end_watches() {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  bool wait_watches(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(10), [&] { return watches_ == count; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  control::v1::Assignment configured_;
  grpc::Status answer_;
  std::int64_t step_ = 0;
  int watches_ = 0;
  bool ending_ = false;
};

class AgentClientTest : public ::testing::Test {
 protected:
  AgentClientTest() { serve(0); }
  ~AgentClientTest() override {
    client_.reset();
    agent_->end_watches();
    server_->Shutdown(std::chrono::system_clock::now() + seconds(2));
  }
  void serve(int port) {
    agent_ = std::make_unique<FakeAgent>();
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(agent_.get());
    server_ = builder.BuildAndStart();
  }
  void connect(milliseconds timeout = seconds(5)) {
    AgentClient::Options options;
    options.port = port_;
    options.configure_timeout = timeout;
    options.retry_first = milliseconds(5);
    options.on_change = [this](const std::string& owner) {
      const std::lock_guard lock(mutex_);
      owners_.push_back(owner);
      changed_.notify_all();
    };
    client_ = std::make_unique<AgentClient>(std::move(options));
  }
  bool wait_for_step(std::int64_t step) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(10), [&] {
      const auto status = client_->status("uid-0");
      return status && status->worker && status->worker->step == step;
    });
  }
  static ConfigurePod call(const std::string& ip = "127.0.0.1") {
    return {
        .pod = "p-0",
        .uid = "uid-0",
        .ip = ip,
        .assignment = {.ns = "n",
                       .name = "x",
                       .uid = "u",
                       .generation = 2,
                       .role = WorkerAssignment{
                           .rank = 1, .peers = {"a:1", "b:2"}, .training = "{}", .synchronization = "{}"}}};
  }
  Status configure_one(const ConfigurePod& pod) {
    const ConfigurePod* pods[] = {&pod};
    return client_->configure(pods).front();
  }
  const std::vector<AgentAddress> kPod{{.pod = "p-0", .uid = "uid-0", .ip = "127.0.0.1"}};
  int port_ = 0;
  std::unique_ptr<FakeAgent> agent_;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> owners_;
  std::unique_ptr<AgentClient> client_;
};

TEST_F(AgentClientTest, ConfigureCarriesTheAssignment) {
  connect();
  ASSERT_TRUE(configure_one(call()));
  EXPECT_EQ(agent_->configured_.namespace_(), "n");
  EXPECT_EQ(agent_->configured_.generation(), 2);
  EXPECT_EQ(agent_->configured_.worker().rank(), 1);
  EXPECT_EQ(agent_->configured_.worker().peers(1), "b:2");
}

TEST_F(AgentClientTest, ARefusalKeepsItsCode) {
  connect();
  agent_->answer_ = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "older");
  const auto refused = configure_one(call());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
}

TEST_F(AgentClientTest, APodThatIsNotThereFailsWithinTheDeadline) {
  connect(milliseconds(500));
  const auto before = std::chrono::steady_clock::now();
  EXPECT_FALSE(configure_one(call("127.0.0.9")));
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(5));
}

TEST_F(AgentClientTest, FollowsStatusAndTellsTheOwner) {
  connect();
  client_->follow("DistributedJob/n/x", kPod);
  ASSERT_TRUE(wait_for_step(0));
  agent_->set_step(7);
  ASSERT_TRUE(wait_for_step(7));
  EXPECT_EQ(client_->status("uid-0")->phase, AgentPhase::kRunning);
  EXPECT_EQ(owners_.back(), "DistributedJob/n/x");
}

TEST_F(AgentClientTest, AWatchThatEndsIsOpenedAgainAndTheLastStatusIsKept) {
  connect();
  client_->follow("o", kPod);
  ASSERT_TRUE(wait_for_step(0));
  agent_->end_watches();
  server_->Shutdown(std::chrono::system_clock::now() + seconds(2));
  EXPECT_TRUE(client_->status("uid-0"));
  serve(port_);
  agent_->set_step(9);
  EXPECT_TRUE(wait_for_step(9));
}

TEST_F(AgentClientTest, PodsThatAreNoLongerNamedAreForgotten) {
  connect();
  client_->follow("o", kPod);
  ASSERT_TRUE(wait_for_step(0));
  client_->follow("o", {});
  EXPECT_FALSE(client_->status("uid-0"));
  EXPECT_TRUE(agent_->wait_watches(0));
}

TEST_F(AgentClientTest, EndsWhilePodsAreFollowedThatNeverAnswer) {
  connect();
  std::vector<AgentAddress> pods = kPod;
  for (int i = 0; i < 20; ++i)
    pods.push_back({.pod = "q", .uid = "q" + std::to_string(i), .ip = "127.0.0.9"});
  client_->follow("o", pods);
  const auto before = std::chrono::steady_clock::now();
  client_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(5));
}

}  // namespace
}  // namespace muster::op
