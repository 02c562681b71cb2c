#pragma once  // operator/control/agent_calls.h: one call to the Agent of one pod, on a completion queue
#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/platform/mutex.h"
#include "operator/control/agents.h"
#include "proto/control.grpc.pb.h"

namespace muster::op {

inline constexpr int kConnectTimeoutMs = 2000;

// Connects when it is first used, and again when it is lost.
[[nodiscard]] std::shared_ptr<grpc::Channel> dial(
    const AgentAddress& pod, int port, const std::shared_ptr<grpc::ChannelCredentials>& credentials);

class Operation {  // what a tag of the completion queue points to
 public:
  virtual ~Operation() = default;
  virtual void complete(bool ok) = 0;
};

// One pod's Watch: opened, read until it ends, opened again after a while. However fast a pod tells, it is
// read every `rest` at most: a program of a user's may have the pod's keys, and all pods share a thread. It
// has one operation in the queue at a time and lives, by `self_`, as long as that one. Made by make_shared;
// start() is called once, stop() at any time, before start(), too.
class Follower final : public Operation, public std::enable_shared_from_this<Follower> {
 public:
  struct Options {
    std::shared_ptr<grpc::Channel> channel;
    grpc::CompletionQueue* queue = nullptr;
    std::string pod_uid;          // whose Agent is meant: another pod at the address refuses
    std::int64_t membership = 0;  // as for expect()
    Backoff backoff;
    std::chrono::milliseconds rest{50};  // ours tell every 200 ms, and a change of phase at once
    std::function<void(const control::v1::AgentStatus&)> told;
    std::function<void(const Status&)> ended;  // a stream, how; it is opened again after a while
    std::function<void()> left;  // once, after stop(): nothing of it is in the queue, or will be
  };
  explicit Follower(Options options);

  void start() MUSTER_EXCLUDES(mutex_);
  void stop() MUSTER_EXCLUDES(mutex_);
  // The newest membership that we know of; streams that are opened from now on name it.
  void expect(std::int64_t membership) MUSTER_EXCLUDES(mutex_);
  void complete(bool ok) override MUSTER_EXCLUDES(mutex_);

 private:
  enum class Stage { kOpening, kReading, kResting, kFinishing, kWaiting };

  void open() MUSTER_REQUIRES(mutex_);
  void read() MUSTER_REQUIRES(mutex_);
  void read_in_time() MUSTER_REQUIRES(mutex_);
  void finish() MUSTER_REQUIRES(mutex_);
  void leave(std::shared_ptr<Follower>& keep) MUSTER_REQUIRES(mutex_);

  Options options_;
  std::unique_ptr<control::v1::Agent::Stub> stub_;
  Mutex mutex_;
  Stage stage_ MUSTER_GUARDED_BY(mutex_) = Stage::kOpening;
  bool stopped_ MUSTER_GUARDED_BY(mutex_) = false;
  std::int64_t membership_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<grpc::ClientContext> context_ MUSTER_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::ClientAsyncReader<control::v1::AgentStatus>> reader_ MUSTER_GUARDED_BY(mutex_);
  control::v1::AgentStatus message_ MUSTER_GUARDED_BY(mutex_);
  grpc::Status status_ MUSTER_GUARDED_BY(mutex_);
  grpc::Alarm alarm_ MUSTER_GUARDED_BY(mutex_);
  Instant next_read_ MUSTER_GUARDED_BY(mutex_){};
  std::shared_ptr<Follower> self_ MUSTER_GUARDED_BY(mutex_);
};

// One Configure, with a deadline. Lives, by `self_`, until it is over. cancel() at any time, before start(),
// too.
class ConfigureCall final : public Operation, public std::enable_shared_from_this<ConfigureCall> {
 public:
  struct Options {
    std::shared_ptr<grpc::Channel> channel;
    grpc::CompletionQueue* queue = nullptr;
    std::chrono::milliseconds timeout{5000};
    std::function<void(const ConfigureCall&, const Status&)> over;  // once, with the outcome
  };
  explicit ConfigureCall(Options options);

  void start(const control::v1::Assignment& assignment) MUSTER_EXCLUDES(mutex_);
  void cancel() MUSTER_EXCLUDES(mutex_);
  void complete(bool ok) override MUSTER_EXCLUDES(mutex_);

 private:
  Options options_;
  std::unique_ptr<control::v1::Agent::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<control::v1::ConfigureReply>> reader_;
  control::v1::ConfigureReply reply_;
  grpc::Status status_;
  Mutex mutex_;
  bool cancelled_ MUSTER_GUARDED_BY(mutex_) = false;
  std::shared_ptr<ConfigureCall> self_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::op
