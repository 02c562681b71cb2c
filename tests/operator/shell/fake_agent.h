#pragma once  // tests/operator/shell/fake_agent.h: an Agent on loopback that tells what the test wants
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "proto/control.grpc.pb.h"
#include "tests/support/test_pki.h"

namespace muster::op {

class FakeAgent final : public control::v1::Agent::Service {  // on 127.0.0.1, until destroyed
 public:
  // With the keys of worker 0 of object "u", unless others are given.
  explicit FakeAgent(int port = 0, const std::shared_ptr<grpc::ServerCredentials>& credentials =
                                       shared_test_pki().of_pod("worker", 0, "u").for_server()) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), credentials, &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeAgent() override {
    answer_configures();
    end_watches();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
  }
  [[nodiscard]] int port() const { return port_; }

  grpc::Status Configure(grpc::ServerContext*, const control::v1::Assignment* request,
                         control::v1::ConfigureReply*) override {
    std::unique_lock lock(mutex_);
    ++configures_;
    configured_ = *request;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !silent_; });
    return answer_;
  }
  grpc::Status Watch(grpc::ServerContext* context, const control::v1::WatchRequest* request,
                     grpc::ServerWriter<control::v1::AgentStatus>* writer) override {
    std::unique_lock lock(mutex_);
    watched_ = *request;
    ++watches_;
    ++opened_;
    changed_.notify_all();
    std::int64_t told = -1;
    while (floods_ && !context->IsCancelled() && !ending_) {
      control::v1::AgentStatus status;
      status.set_phase(control::v1::PHASE_RUNNING);
      lock.unlock();
      const bool taken = writer->Write(status);
      lock.lock();
      if (!taken) break;
    }
    while (!context->IsCancelled() && !ending_) {
      if (told != step_) {
        told = step_;
        control::v1::AgentStatus status;
        status.set_membership(2);
        status.set_phase(control::v1::PHASE_RUNNING);
        status.mutable_worker()->set_step(step_);
        status.set_message(message_);
        if (!writer->Write(status)) break;
      }
      changed_.wait_for(lock, std::chrono::milliseconds(20));
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
  void will_say(std::string message) {  // with each status
    const std::lock_guard lock(mutex_);
    message_ = std::move(message);
  }
  void will_flood() {  // a status after the other, as fast as they are taken
    const std::lock_guard lock(mutex_);
    floods_ = true;
  }
  void will_answer(grpc::Status answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  void hold_configures() {
    const std::lock_guard lock(mutex_);
    silent_ = true;
  }
  void answer_configures() {
    const std::lock_guard lock(mutex_);
    silent_ = false;
    changed_.notify_all();
  }
  void end_watches() {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] control::v1::WatchRequest watched() {
    const std::lock_guard lock(mutex_);
    return watched_;
  }
  [[nodiscard]] control::v1::Assignment configured() {
    const std::lock_guard lock(mutex_);
    return configured_;
  }
  bool wait_configures(int count, std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return configures_ >= count; });
  }
  bool wait_watches(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return watches_ == count; });
  }
  bool wait_opened(int count) {  // watches, in all
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return opened_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  control::v1::WatchRequest watched_;
  control::v1::Assignment configured_;
  grpc::Status answer_;
  std::string message_;
  std::int64_t step_ = 0;
  int watches_ = 0;
  int opened_ = 0;
  int configures_ = 0;
  bool silent_ = false;  // holds calls of Configure
  bool ending_ = false;
  bool floods_ = false;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace muster::op
