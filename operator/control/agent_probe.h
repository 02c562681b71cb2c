#pragma once  // operator/control/agent_probe.h: why a pod's Agent has not answered yet
#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/platform/mutex.h"
#include "operator/control/agent_calls.h"

namespace muster::op {

// What the failure of a call says of trust: nullopt: nothing (the pod is not up yet, or out of reach).
[[nodiscard]] std::optional<std::string> rejection_in(const grpc::Status& status);

// One call that does not wait for a connection: it ends at once with what the last attempt to make one has
// met, which a call that waits for it is not told. Lives, by `self_`, until it is over.
class Probe final : public Operation, public std::enable_shared_from_this<Probe> {
 public:
  struct Options {
    std::shared_ptr<grpc::Channel> channel;
    grpc::CompletionQueue* queue = nullptr;
    std::function<void(const std::optional<std::string>& rejection)> over;  // once
  };
  explicit Probe(Options options);

  void start() MUSTER_EXCLUDES(mutex_);
  void cancel() MUSTER_EXCLUDES(mutex_);  // before start(), too
  void complete(bool ok) override MUSTER_EXCLUDES(mutex_);

 private:
  Options options_;
  std::unique_ptr<control::v1::Agent::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncReader<control::v1::AgentStatus>> reader_;
  grpc::Status status_;
  Mutex mutex_;
  bool finishing_ MUSTER_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Probe> self_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::op
