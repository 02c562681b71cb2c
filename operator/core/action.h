#pragma once  // operator/core/action.h: what a pass wants done; operator/shell/applier.h does it
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/json/fields.h"
#include "operator/core/scheduling.h"
#include "pod/peer_name.h"
#include "proto/control.pb.h"

namespace muster::op {

// A create that meets AlreadyExists has landed when the existing object's controller is ours (uid).
// Otherwise, and when the API server refuses it, the next passes get an Observed::obstacle.
struct CreateService {
  Json manifest;
};
// The keys of the pods `first` to `first` + `count` - 1 of `role`, as an immutable Secret. `manifest` has no
// data: they are made when the action is applied, so that a pass decides the same on the same snapshot.
// AlreadyExists has landed: what the operator has made it cannot read back.
struct CreateCredentials {
  Json manifest;
  std::string role;
  std::int64_t first = 0, count = 0;
  // Instead: the token by which the object's program tells its progress. Nothing depends on it: where the API
  // server refuses it, an event says so, and the pods are created without.
  bool token = false;
};
// A group of the pods, a Workload of Kueue. That its API is not there, or not allowed, is remembered for
// SchedulingSeen, and the next pass decides anew.
struct CreateChild {
  ApiKind api;
  Json manifest;
};
struct DeleteChild {  // with a uid precondition, as DeletePod
  ApiKind api;
  std::string name, uid;
};
// application/merge-patch+json to its /status, with the resourceVersion that was read.
struct PatchChildStatus {
  ApiKind api;
  std::string name;
  Json patch;
};
struct CreatePod {
  Json manifest;
  std::string part{};  // where its template stands in the object ("spec.workers.template"), for messages
  // A field that the API server does not know makes the pod invalid. Not once pods of the template have run:
  // a misspelt field that an earlier operator let pass is then told in an event.
  bool strict = false;
};
// Asks whether the API server would take this pod, before others of the object are created: that it is
// invalid becomes an Observed::obstacle, as with a create; nothing else counts.
struct CheckPod {
  Json manifest;
  std::string part;
};
struct DeletePod {  // with a uid precondition; 404 and a uid conflict mean it is gone: landed
  std::string name, uid;
  std::optional<std::int64_t> grace_seconds;  // absent: the pod's own
};
// Calls Agent.Configure of one pod. A failure does not stop the pass: the next one asks again until the
// agent reports the membership.
struct ConfigurePod {
  std::string pod, uid, ip;
  // What every pod of the pass is told, once for all of them, and what is this pod's own: see assignment_of.
  std::shared_ptr<const control::v1::Assignment> common;
  control::v1::Assignment own{};
};
// application/merge-patch+json to /status. Carries the resourceVersion that was read, so that a stale
// snapshot cannot undo a newer status: a 409 means look again. Put the answer into the cache, or the next
// pass meets a 409.
struct PatchStatus {
  Json patch;  // {"metadata": {"resourceVersion": "..."}, "status": {...}}
};
struct DeleteObject {  // the object itself (TTL), with a uid precondition
  std::string uid;
  bool foreground = true;
};
// A line of the namespace's history of ended objects. Asked for again it changes nothing. That the API server
// refuses it is told in an event; what follows is done all the same, unless `must`.
struct RecordHistory {
  std::string key;
  Json record;
  bool must = false;
};
struct EmitEvent {   // on the object; dropped when writing it fails
  std::string type;  // Normal | Warning
  std::string reason;
  std::string message;
};

using Action =
    std::variant<CreateService, CreateCredentials, CreateChild, CreatePod, CheckPod, DeletePod, DeleteChild,
                 PatchChildStatus, ConfigurePod, PatchStatus, DeleteObject, RecordHistory, EmitEvent>;

struct AgentAddress {
  std::string pod, uid, ip;     // Agent at ip:8470
  PeerName peer;                // whom its certificate must name
  std::int64_t membership = 0;  // the newest that the object's status tells of
};

struct Decision {
  std::vector<Action>
      actions;  // in order: deletes, creates, configures, at most one status write, then events
  std::vector<AgentAddress> agents;            // watch exactly these; drop watches of the object's other pods
  std::chrono::milliseconds requeue_after{0};  // 0: the next watch event or agent status is enough
};

}  // namespace muster::op
