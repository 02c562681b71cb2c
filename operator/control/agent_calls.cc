// operator/control/agent_calls.cc: the stages of a Watch, and Configure
#include "operator/control/agent_calls.h"

#include <utility>

#include "operator/core/agent_status.h"

namespace muster::op {
namespace {

using control::v1::Agent;

constexpr std::size_t kErrorMax = 1024;  // no more fits into a condition

Status to_status(const grpc::Status& status) {
  if (status.ok()) return {};
  return Error{static_cast<Code>(status.error_code()),  // the same numbers
               told_text(status.error_message(), kErrorMax)};
}

}  // namespace

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
  if (stage_ == Stage::kWaiting) alarm_.Cancel();
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
      return read();
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
