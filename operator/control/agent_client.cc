// operator/control/agent_client.cc: all calls on one completion queue
#include "operator/control/agent_client.h"

#include <fmt/format.h>
#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <latch>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "common/base/backoff.h"
#include "operator/control/agent_convert.h"
#include "proto/control.grpc.pb.h"

namespace muster::op {
namespace {

using control::v1::Agent;

constexpr int kMessageBytesMax = 1 << 20;  // a status with 200 points of history is a few KiB
constexpr int kConnectBackoffFirstMs = 100;
constexpr int kConnectBackoffMaxMs = 2000;
constexpr int kConnectTimeoutMs = 2000;

class Operation {  // what a tag of the completion queue points to
 public:
  virtual ~Operation() = default;
  virtual void complete(bool ok) = 0;
};

std::shared_ptr<grpc::Channel> dial(const std::string& ip, int port) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // pods are never behind the machine's proxy
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kConnectBackoffFirstMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kConnectBackoffMaxMs);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a dead pod's backoff is not its successor's
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  const bool ipv6 = ip.find(':') != std::string::npos;
  const std::string target =
      ipv6 ? fmt::format("ipv6:[{}]:{}", ip, port) : fmt::format("ipv4:{}:{}", ip, port);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

Status to_status(const grpc::Status& status) {
  if (status.ok()) return {};
  return Error{static_cast<Code>(status.error_code()), status.error_message()};  // the same numbers
}

// One pod's Watch: opened, read until it ends, opened again after a while. It has one operation in the queue
// at a time and lives, by `self_`, as long as that one.
class Follower final : public Operation, public std::enable_shared_from_this<Follower> {
 public:
  using Told = std::function<void(const AgentStatus&)>;
  Follower(std::shared_ptr<grpc::Channel> channel, grpc::CompletionQueue& queue, Backoff backoff, Told told,
           std::function<void()> gone)
      : stub_(Agent::NewStub(std::move(channel))),
        queue_(queue),
        backoff_(backoff),
        told_(std::move(told)),
        gone_(std::move(gone)) {}

  void start() {
    const std::lock_guard lock(mutex_);
    self_ = shared_from_this();
    open();
  }
  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    if (context_) context_->TryCancel();
    if (stage_ == Stage::kWaiting) alarm_.Cancel();
  }

  void complete(bool ok) override {
    std::shared_ptr<Follower> keep;  // outlives the lock
    const std::lock_guard lock(mutex_);
    switch (stage_) {
      case Stage::kOpening: return ok ? read() : finish();
      case Stage::kReading:
        if (!ok) return finish();
        backoff_.reset();
        if (!stopped_) told_(from_proto(message_));
        return read();
      case Stage::kFinishing:
        reader_.reset();
        context_.reset();
        if (stopped_) return leave(keep);
        stage_ = Stage::kWaiting;
        alarm_.Set(&queue_, std::chrono::system_clock::now() + backoff_.next(), this);
        return;
      case Stage::kWaiting:
        if (stopped_) return leave(keep);
        return open();
    }
  }

 private:
  enum class Stage { kOpening, kReading, kFinishing, kWaiting };

  void leave(std::shared_ptr<Follower>& keep) {
    keep = std::move(self_);
    gone_();
  }
  void open() {
    stage_ = Stage::kOpening;
    context_ = std::make_unique<grpc::ClientContext>();
    context_->set_wait_for_ready(true);  // the channel knocks until the pod's server is up
    reader_ = stub_->PrepareAsyncWatch(context_.get(), control::v1::WatchRequest(), &queue_);
    reader_->StartCall(this);
  }
  void read() {
    stage_ = Stage::kReading;
    reader_->Read(&message_, this);
  }
  void finish() {
    stage_ = Stage::kFinishing;
    reader_->Finish(&status_, this);
  }

  std::unique_ptr<Agent::Stub> stub_;
  grpc::CompletionQueue& queue_;
  Backoff backoff_;
  Told told_;
  std::function<void()> gone_;
  std::mutex mutex_;
  Stage stage_ = Stage::kOpening;
  bool stopped_ = false;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientAsyncReader<control::v1::AgentStatus>> reader_;
  control::v1::AgentStatus message_;
  grpc::Status status_;
  grpc::Alarm alarm_;
  std::shared_ptr<Follower> self_;
};

class ConfigureCall final : public Operation {
 public:
  ConfigureCall(std::shared_ptr<grpc::Channel> channel, grpc::CompletionQueue& queue,
                const Assignment& assignment, std::chrono::milliseconds timeout, std::latch& pending)
      : stub_(Agent::NewStub(std::move(channel))), pending_(pending) {
    context_.set_deadline(std::chrono::system_clock::now() + timeout);
    reader_ = stub_->PrepareAsyncConfigure(&context_, to_proto(assignment), &queue);
    reader_->StartCall();
    reader_->Finish(&reply_, &status_, this);
  }
  void complete(bool) override { pending_.count_down(); }
  [[nodiscard]] Status result() const { return to_status(status_); }

 private:
  std::unique_ptr<Agent::Stub> stub_;
  std::latch& pending_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<control::v1::ConfigureReply>> reader_;
  control::v1::ConfigureReply reply_;
  grpc::Status status_;
};

}  // namespace

class AgentClient::Impl {
 public:
  explicit Impl(Options options) : options_(std::move(options)) {
    for (int i = 0; i < options_.threads; ++i) {
      threads_.emplace_back([this] { serve(); });
    }
  }
  ~Impl() {
    std::map<std::string, PodState> pods;
    {
      const std::lock_guard lock(mutex_);
      pods = std::exchange(pods_, {});
    }
    for (auto& [uid, pod] : pods) pod.follower->stop();
    {
      std::unique_lock lock(mutex_);  // nothing may enter the queue after Shutdown
      last_left_.wait(lock, [this] { return live_ == 0; });
    }
    queue_.Shutdown();
    threads_.clear();
  }

  void follow(const std::string& owner, const std::vector<AgentAddress>& wanted) {
    std::vector<std::shared_ptr<Follower>> leaving;
    std::vector<std::shared_ptr<Follower>> coming;
    {
      const std::lock_guard lock(mutex_);
      std::set<std::string> now;
      for (const AgentAddress& pod : wanted) now.insert(pod.uid);
      auto& before = owners_[owner];
      for (const std::string& uid : before) {
        if (now.contains(uid)) continue;
        leaving.push_back(std::move(pods_.at(uid).follower));
        pods_.erase(uid);
      }
      for (const AgentAddress& pod : wanted) {
        if (pods_.contains(pod.uid)) continue;
        PodState& state = pods_[pod.uid];
        state.channel = dial(pod.ip, options_.port);
        state.follower = make_follower(owner, pod.uid, state.channel);
        coming.push_back(state.follower);
        ++live_;
      }
      before = std::move(now);
      if (before.empty()) owners_.erase(owner);
    }
    for (const auto& follower : leaving) follower->stop();
    for (const auto& follower : coming) follower->start();
  }

  std::optional<AgentStatus> status(const std::string& uid) const {
    const std::lock_guard lock(mutex_);
    const auto found = pods_.find(uid);
    return found == pods_.end() ? std::nullopt : found->second.status;
  }

  std::vector<Status> configure(std::span<const ConfigurePod* const> pods) {
    std::latch pending(static_cast<std::ptrdiff_t>(pods.size()));
    std::vector<std::unique_ptr<ConfigureCall>> calls;
    calls.reserve(pods.size());
    for (const ConfigurePod* pod : pods) {
      calls.push_back(std::make_unique<ConfigureCall>(channel_of(*pod), queue_, pod->assignment,
                                                      options_.configure_timeout, pending));
    }
    pending.wait();  // each call has its deadline
    std::vector<Status> results;
    results.reserve(calls.size());
    for (const auto& call : calls) results.push_back(call->result());
    return results;
  }

 private:
  struct PodState {
    std::shared_ptr<grpc::Channel> channel;
    std::shared_ptr<Follower> follower;
    std::optional<AgentStatus> status;
  };

  std::shared_ptr<Follower> make_follower(const std::string& owner, const std::string& uid,
                                          const std::shared_ptr<grpc::Channel>& channel) {
    const BackoffOptions backoff{
        .first = options_.retry_first, .max = options_.retry_max, .factor = 2, .jitter = 0.5};
    return std::make_shared<Follower>(
        channel, queue_, Backoff(backoff, std::hash<std::string>{}(uid)),
        [this, owner, uid](const AgentStatus& status) { told(owner, uid, status); },
        [this] {
          const std::lock_guard lock(mutex_);
          --live_;
          last_left_.notify_all();
        });
  }
  void told(const std::string& owner, const std::string& uid, const AgentStatus& status) {
    {
      const std::lock_guard lock(mutex_);
      const auto found = pods_.find(uid);
      if (found == pods_.end()) return;
      found->second.status = status;
    }
    if (options_.on_change) options_.on_change(owner);
  }
  std::shared_ptr<grpc::Channel> channel_of(const ConfigurePod& pod) {
    const std::lock_guard lock(mutex_);
    const auto found = pods_.find(pod.uid);
    return found == pods_.end() ? dial(pod.ip, options_.port) : found->second.channel;
  }
  void serve() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) static_cast<Operation*>(tag)->complete(ok);
  }

  Options options_;
  mutable std::mutex mutex_;
  std::condition_variable last_left_;
  int live_ = 0;  // followers with an operation in the queue
  std::map<std::string, PodState> pods_;
  std::map<std::string, std::set<std::string>> owners_;
  grpc::CompletionQueue queue_;
  std::vector<std::jthread> threads_;
};

AgentClient::AgentClient(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
AgentClient::~AgentClient() = default;

void AgentClient::follow(const std::string& owner, const std::vector<AgentAddress>& pods) {
  impl_->follow(owner, pods);
}
std::optional<AgentStatus> AgentClient::status(const std::string& pod_uid) const {
  return impl_->status(pod_uid);
}
std::vector<Status> AgentClient::configure(std::span<const ConfigurePod* const> pods) {
  return impl_->configure(pods);
}

}  // namespace muster::op
