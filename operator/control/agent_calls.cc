// operator/control/agent_calls.cc: the stages of a Watch, and Configure
#include "operator/control/agent_calls.h"

#include <fmt/format.h>

#include <utility>

#include "operator/core/agent_status.h"
#include "pod/credentials.h"
#include "pod/status_limits.h"

namespace muster::op {
namespace {

using control::v1::Agent;

constexpr int kConnectBackoffFirstMs = 100;
constexpr int kConnectBackoffMaxMs = 2000;
// A pod that is frozen, or whose machine is gone, ends no connection: it is asked for a sign of life.
constexpr int kKeepaliveMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 5'000;
constexpr std::size_t kErrorMax = 1024;  // no more fits into a condition

Status to_status(const grpc::Status& status) {
  if (status.ok()) return {};
  return Error{static_cast<Code>(status.error_code()),  // the same numbers
               told_text(status.error_message(), kErrorMax)};
}

}  // namespace

std::shared_ptr<grpc::Channel> dial(const AgentAddress& pod, int port,
                                    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kConnectBackoffFirstMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kConnectBackoffMaxMs);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a dead pod's backoff is not its successor's
  arguments.SetMaxReceiveMessageSize(kStatusBytesMax);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // as many as it takes
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // what comes faster than it is read waits in the pod
  Credentials::expect(pod.peer, arguments);
  const bool ipv6 = pod.ip.find(':') != std::string::npos;
  const std::string target =
      ipv6 ? fmt::format("ipv6:[{}]:{}", pod.ip, port) : fmt::format("ipv4:{}:{}", pod.ip, port);
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

Follower::Follower(Options options)
    : options_(std::move(options)),
      stub_(Agent::NewStub(options_.channel)),
      membership_(options_.membership) {}

void Follower::start() {
  std::shared_ptr<Follower> keep;
  const MutexLock lock(mutex_);
  if (stopped_) return leave(keep);
  self_ = shared_from_this();
  open();
}

void Follower::stop() {
  const MutexLock lock(mutex_);
  stopped_ = true;
  if (context_) context_->TryCancel();
  if (stage_ == Stage::kWaiting || stage_ == Stage::kResting) alarm_.Cancel();
}

void Follower::expect(std::int64_t membership) {
  const MutexLock lock(mutex_);
  membership_ = membership;
}

void Follower::complete(bool ok) {
  std::shared_ptr<Follower> keep;  // outlives the lock
  const MutexLock lock(mutex_);
  switch (stage_) {
    case Stage::kOpening: return ok ? read() : finish();
    case Stage::kReading:
      if (!ok) return finish();
      options_.backoff.reset();
      if (!stopped_) options_.told(message_);
      return read_in_time();
    case Stage::kResting: return read();  // a call that was cancelled meanwhile says so
    case Stage::kFinishing:
      reader_.reset();
      context_.reset();
      if (stopped_) return leave(keep);
      options_.ended(to_status(status_));
      stage_ = Stage::kWaiting;
      alarm_.Set(options_.queue, std::chrono::system_clock::now() + options_.backoff.next(), this);
      return;
    case Stage::kWaiting:
      if (stopped_) return leave(keep);
      return open();
  }
}

void Follower::leave(std::shared_ptr<Follower>& keep) {
  keep = std::move(self_);
  options_.left();
}

void Follower::open() {
  stage_ = Stage::kOpening;
  context_ = std::make_unique<grpc::ClientContext>();
  context_->set_wait_for_ready(true);  // the channel knocks until the pod's server is up
  control::v1::WatchRequest request;
  request.set_pod_uid(options_.pod_uid);
  request.set_membership(membership_);
  reader_ = stub_->PrepareAsyncWatch(context_.get(), request, options_.queue);
  reader_->StartCall(this);
}

void Follower::read() {
  stage_ = Stage::kReading;
  reader_->Read(&message_, this);
}

void Follower::read_in_time() {
  const Instant now = std::chrono::steady_clock::now();
  const bool due = now >= next_read_ || stopped_;
  const Instant at = due ? now : next_read_;
  next_read_ = at + options_.rest;
  if (due) return read();
  stage_ = Stage::kResting;
  alarm_.Set(options_.queue,
             std::chrono::system_clock::now() + std::chrono::ceil<std::chrono::milliseconds>(at - now), this);
}

void Follower::finish() {
  stage_ = Stage::kFinishing;
  reader_->Finish(&status_, this);
}

ConfigureCall::ConfigureCall(Options options)
    : options_(std::move(options)), stub_(Agent::NewStub(options_.channel)) {}

void ConfigureCall::start(const control::v1::Assignment& assignment) {
  const MutexLock lock(mutex_);
  self_ = shared_from_this();
  context_.set_deadline(std::chrono::system_clock::now() + options_.timeout);
  reader_ = stub_->PrepareAsyncConfigure(&context_, assignment, options_.queue);
  reader_->StartCall();
  reader_->Finish(&reply_, &status_, this);
  if (cancelled_) context_.TryCancel();
}

void ConfigureCall::cancel() {
  const MutexLock lock(mutex_);
  if (!std::exchange(cancelled_, true) && self_) context_.TryCancel();
}

void ConfigureCall::complete(bool /*ok*/) {
  std::shared_ptr<ConfigureCall> keep;  // outlives the lock
  const MutexLock lock(mutex_);
  keep = std::move(self_);
  options_.over(*this, to_status(status_));
}

}  // namespace muster::op
