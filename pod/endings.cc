// pod/endings.cc: the one table from errors to exit codes
#include "pod/endings.h"

#include <google/protobuf/util/json_util.h>

#include "pod/pod_contract.h"

namespace muster {
namespace {

constexpr std::size_t kLastWordsMax = 800;  // a kubelet's share for each container of 15

std::string json_of(const control::v1::AgentStatus& status) {
  std::string json;
  return google::protobuf::util::MessageToJsonString(status, &json).ok() ? json : "succeeded";
}

}  // namespace

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

std::string last_words_of(control::v1::AgentStatus status) {
  if (status.has_worker()) {
    status.mutable_worker()->clear_history();
    auto& ledger = *status.mutable_worker()->mutable_ledger();
    if (ledger.size() > 1)
      ledger.DeleteSubrange(0, ledger.size() - 1);  // the newest, which nobody may have heard
  }
  if (status.has_aggregator()) {  // who heard its status before has these
    status.mutable_aggregator()->clear_history();
    status.mutable_aggregator()->clear_contributions_top();
    status.mutable_aggregator()->clear_contributions_bottom();
    status.mutable_aggregator()->clear_devices();
  }
  std::string json = json_of(status);
  while (json.size() > kLastWordsMax && status.warnings_size() > 0) {
    status.mutable_warnings()->RemoveLast();
    json = json_of(status);
  }
  if (json.size() <= kLastWordsMax) return json;
  status.clear_message();
  if (status.has_worker()) status.mutable_worker()->clear_ledger();
  return json_of(status);
}

}  // namespace muster
