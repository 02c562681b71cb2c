#pragma once  // operator/core/observed.h: what one pass sees: one listing, one instant
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/pods/pod_state.h"
#include "operator/api/distributed_job.h"
#include "operator/api/federated_round.h"
#include "operator/core/node_problems.h"
#include "operator/core/progress_report.h"
#include "operator/core/scheduling.h"
#include "proto/control.pb.h"

namespace muster::op {

struct PodCondition {
  std::string type, status;  // status: True | False | Unknown
};

enum class ImageState {
  kUnknown,  // nothing has been said of it yet
  kRan,      // the container runs, or has run
  kMissing,  // the container waits for an image that cannot be had
};

struct Pod {
  std::string name, uid;
  std::string role;              // label muster.dev/role: worker, server, aggregator, client
  std::string container;         // name of the container that carries it
  std::int64_t index = -1;       // label muster.dev/index
  std::int64_t incarnation = 0;  // label muster.dev/incarnation
  std::string ca;                // label muster.dev/ca (pods of ours): the authority of its keys
  std::string token_ca;      // annotation muster.dev/progress-ca: the authority that its token is checked by
  std::int64_t attempt = 0;  // annotation muster.dev/attempt (client pods)
  std::int64_t world_size = 0;          // annotation muster.dev/world-size (workers)
  std::string gang;                     // annotation muster.dev/gang: whose group it is a member of
  std::string avoids;                   // annotation muster.dev/avoids: bad nodes, as when it was made
  PodPhase phase = PodPhase::kPending;  // of the container that carries the role, whatever accompanies it
  bool runs = true;                     // something in it still runs, be it a sidecar
  bool ready = false;                   // condition Ready
  std::string unready;                  // why not, of one that runs: "containers with unready status: [w]"
  std::string ip, node;
  std::optional<WallTime> created;
  std::optional<WallTime> scheduled;  // since when it has its node, where condition PodScheduled says so
  std::optional<WallTime> deletion;   // deletionTimestamp: the instant by which it should be gone
  std::string image;  // of Muster's container: that of the role, or the sidecar beside a program
  ImageState image_state = ImageState::kUnknown;
  std::string peer_image;  // annotation muster.dev/peer-image (rounds): see operator/core/incarnation_image.h
  std::optional<ContainerEnd> end;
  // The exit code in `end` is of Muster's table (pod/pod_contract.h): not that of a program of the user's own
  // beside Muster's worker, unless its last words are Muster's (kEndingWord).
  bool code_is_ours = true;
  bool beside_program = false;            // Muster's worker in it is a sidecar of a program of the user's own
  std::optional<WallTime> running_since;  // the container of the role, while it runs
  std::optional<WallTime> ended;          // when the container of `end` did
  std::optional<WallTime> sighted;  // when this process first saw that it had; by the operator's own clock
  bool disrupted = false;    // condition DisruptionTarget, a status.reason that says as much, a bad node
  bool on_bad_node = false;  // one with a problem that it does not tolerate: see judge_node
  // Of a pod that has failed or is being deleted, for the rules of spec.runPolicy.failurePolicy.
  std::vector<PodCondition> conditions;
  std::string reason;   // status.reason, or why it waits: Unschedulable, ImagePullBackOff, ...
  std::string message;  // the sentence that goes with `reason`
};

// The facts of a v1 Pod that core judges by. The controller owner must have uid `owner_uid`, otherwise
// nullopt: the pod is not ours. Tolerates absent fields.
[[nodiscard]] std::optional<Pod> pod_from_json(const Json& pod, const std::string& owner_uid);

// Whether an init container is Muster's worker beside a program of the user's own: by more than its name,
// which a template of the user's may use where no program is. It alone restarts always and mounts the pod's
// keys, which no template may.
[[nodiscard]] bool is_program_sidecar(const Json& container);

enum class ServiceState { kAbsent, kOurs, kForeign, kPredecessors };

// What a create has met; no other goes out for a while, for only a person or time changes it.
struct Obstacle {
  enum class Kind {
    kNameTaken,    // another owner has the name of a child
    kPredecessor,  // the same, but it is on its way out: its owner was an object of our name, or it is being
                   // deleted
    kRefused,      // the API server says no: a quota, a policy, a right
    kInvalid,      // the API server says that there can be no such child: only another spec helps
  };
  Kind kind = Kind::kRefused;
  std::string message;
  int refusals = 1;  // of creates in a row, this one counted
  friend bool operator==(const Obstacle&, const Obstacle&) = default;
};
// For how long it counts, before the next create is tried.
[[nodiscard]] std::chrono::milliseconds patience_with(const Obstacle& obstacle);

struct PodDefaults {         // of the operator's own configuration (flags)
  std::string progress_url;  // "https://host:port", where programs tell their progress; empty: nowhere
  std::string worker_image = "muster-worker:" MUSTER_VERSION;
  std::string aggregator_image = "muster-aggregator:" MUSTER_VERSION;
  std::string device_image = "muster-device:" MUSTER_VERSION;
  std::string exec_image = "muster-exec:" MUSTER_VERSION;
};

// With the Agent of a pod that is listened to.
struct Contact {
  bool answers = false;
  WallTime since;  // it has told what it tells now, or has not answered
};

struct Observed {
  WallTime now;
  std::vector<Pod> pods;                         // owned by the object, any incarnation, any order
  ServiceState service = ServiceState::kAbsent;  // the Service named like the object
  // By pod uid: the last status of each Agent that answered.
  std::map<std::string, control::v1::AgentStatus> agents;
  std::map<std::string, Contact> contacts;  // by pod uid
  std::map<std::string, Error> refusals;    // by pod uid: why its Agent did not take its assignment
  std::map<std::string, std::string>
      rejections;                        // by pod uid: why Agent and operator do not trust each other
  std::string ca;                        // id of the operator's authority
  std::optional<ProgressReport> report;  // the newest that a program of the user's own has sent
  std::map<std::string, WallTime>
      credentials;                          // Secrets with keys: when this process last made them, or tried
  std::set<std::string> found_credentials;  // those of them that it has never made: they were there
  std::optional<Obstacle> obstacle;         // that a create met of late
  std::set<std::string> lost_nodes;         // of nodes_in_question: unreachable, out of service, or gone
  NodeProblems bad_nodes;                   // at most kBadNodesMax
  // A field of this process's status writes that the API server has not kept; "": it keeps all; not known
  // before the first.
  std::optional<std::string> unkept;
  std::optional<WallTime> last_status_write;  // when this process last wrote the status; paces progress
  PodDefaults defaults;
  SchedulingSeen scheduling;
  bool keeps_history = false;  // records of ended objects: see history.h
};

struct ObservedJob : Observed {
  api::DistributedJob job;
};

struct ObservedRound : Observed {
  api::FederatedRound round;
};

}  // namespace muster::op
