// pod/endings.cc: the one table from errors to exit codes
#include "pod/endings.h"

#include "pod/pod_contract.h"

namespace muster {

Ending ending_of(const Error& error) {
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

Ending credentials_ending_of(const Error& error) {
  return {error.code == Code::kOutOfRange ? kExitRetry : kExitInvalid, error.message};
}

Ending storage_ending_of(const Error& error) {
  return {error.code == Code::kFailedPrecondition ? kExitInvalid : kExitStorage, error.message};
}

}  // namespace muster
