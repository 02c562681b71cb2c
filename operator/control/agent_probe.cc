// operator/control/agent_probe.cc: why a pod's Agent has not answered yet
#include "operator/control/agent_probe.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "operator/core/agent_status.h"

namespace muster::op {
namespace {

constexpr std::chrono::seconds kDeadline{1};
constexpr std::size_t kReasonMax = 512;

}  // namespace

std::optional<std::string> rejection_in(const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return std::nullopt;
  const std::string& text = status.error_message();
  const auto says = [&](const char* words) { return text.find(words) != std::string::npos; };
  if (says("certificate verify failed") || says("CERTIFICATE_VERIFY_FAILED"))
    return "its certificate is not of the operator's authority, or not in force";
  if (says("is not in peer certificate")) return "its certificate names another peer";
  if (says("andshake failed"))
    return fmt::format("the TLS handshake fails ({})", told_text(text, kReasonMax));
  if (says("ocket closed") || says("reset by peer") || says("SETTINGS"))
    return "it hangs up on the operator: it does not accept the operator's certificate";
  return std::nullopt;
}

Probe::Probe(Options options)
    : options_(std::move(options)), stub_(control::v1::Agent::NewStub(options_.channel)) {
  context_.set_deadline(std::chrono::system_clock::now() + kDeadline);
}

void Probe::start() {
  const MutexLock lock(mutex_);
  self_ = shared_from_this();
  reader_ = stub_->PrepareAsyncWatch(&context_, control::v1::WatchRequest(), options_.queue);
  reader_->StartCall(this);
}

void Probe::cancel() { context_.TryCancel(); }

void Probe::complete(bool ok) {
  std::shared_ptr<Probe> keep;  // outlives the lock
  {
    const MutexLock lock(mutex_);
    if (!finishing_) {
      finishing_ = true;
      if (ok) context_.TryCancel();  // it answers: the Watch that waits hears so, too
      reader_->Finish(&status_, this);
      return;
    }
    keep = std::move(self_);
  }
  options_.over(rejection_in(status_));
}

}  // namespace muster::op
