// worker/shell/ending.cc: exit codes of common/platform/pod.h
#include "worker/shell/ending.h"

#include "common/platform/pod.h"

namespace muster::worker {

Ending ending_of(Stage stage, const Error& error) {
  if (stage == Stage::kStorage) return {kExitStorage, error.message};
  // At a resumption only a checkpoint of another training is the spec's fault.
  if (stage == Stage::kResume && error.code != Code::kFailedPrecondition)
    return {kExitStorage, error.message};
  switch (error.code) {
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kDataLoss:
    case Code::kFailedPrecondition:
    case Code::kUnimplemented:
    case Code::kOutOfRange:
    case Code::kPermissionDenied: return {kExitInvalid, error.message};
    default: return {kExitRetry, error.message};
  }
}

}  // namespace muster::worker
