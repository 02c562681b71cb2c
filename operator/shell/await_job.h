#pragma once  // operator/shell/await_job.h: muster-operator --await: follows one DistributedJob to its end
              // (helm test)
#include <string>

#include "common/base/result.h"
#include "common/platform/signals.h"

namespace muster::op {

struct AwaitOptions {
  std::string kubeconfig;  // as OperatorOptions
  std::string job;         // "namespace/name"
  int seconds = 300;
};

// OK once the job has Succeeded. Tells each change of its phase and of what it says on standard output. What
// may pass (no right yet, no such job yet, the API server away) is waited for. Errors: kInvalidArgument:
// `job` is not namespace/name; kFailedPrecondition: it Failed, with its message; kDeadlineExceeded with the
// last that was known; kCancelled: a signal.
[[nodiscard]] Status await_job(const AwaitOptions& options, SignalWaiter& signals);

}  // namespace muster::op
