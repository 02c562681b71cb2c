#pragma once  // pod/endings.h: how a Muster container ends: its exit code and its last words. Pure
#include <string>

#include "common/base/result.h"
#include "proto/control.pb.h"

namespace muster {

struct Ending {
  int exit_code = 0;    // of pod/pod_contract.h
  std::string message;  // of a failure: the pod's last words; else what the log says, may be empty
  // Of a failure: a peer is lost, or others went on in a later membership, so that the assignment of the next
  // one may be on its way to this pod.
  bool left_behind = false;
};

// Of a failure while the program reads its assignment and its data, or works: kExitInvalid when the spec or
// the data is at fault, since a restart would meet the same; else kExitRetry.
[[nodiscard]] Ending ending_of(const Error& error);
// Of a pod that has not what proves its name: kExitInvalid, since it would find the same again; a certificate
// that is not in force (kOutOfRange) may be made anew: kExitRetry.
[[nodiscard]] Ending credentials_ending_of(const Error& error);
// Of a failure to read or write a model or checkpoint: kExitStorage, or kExitInvalid when the files belong to
// another training (kFailedPrecondition).
[[nodiscard]] Ending storage_ending_of(const Error& error);

// The last words of a pod that has succeeded: the proto JSON form, small on purpose. A kubelet cuts
// termination messages at 12 KiB for all containers of a pod together, and JSON that is cut is no evidence of
// success at all. So there is no history, and of the warnings only those that fit; the Agent has told all.
[[nodiscard]] std::string last_words_of(control::v1::AgentStatus status);

}  // namespace muster
