#pragma once  // operator/api/status.h: the status of both kinds: counters, phase, conditions, progress
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "operator/api/meta.h"

namespace muster::op::api {

struct PodAttempt {           // a pod that was replaced alone, within its incarnation, at least once
  std::int64_t index = 0;     // of the pod
  std::int64_t attempt = 0;   // replacements so far, >= 1
  std::int64_t failures = 0;  // of those, after a failure, not a disruption; a committed round clears it
  std::int64_t in_a_row = 0;  // with little time between: the last ones slow down
  WallTime failed_at;         // when the last one was lost
  friend bool operator==(const PodAttempt&, const PodAttempt&) = default;
};

struct RosterMember {  // a rank of a membership: the pod that has it
  std::int64_t index = 0;
  std::string uid;
  friend bool operator==(const RosterMember&, const RosterMember&) = default;
};

struct ServerMember {  // the parameter server of an index
  std::int64_t index = 0;
  std::string uid;    // of its pod; empty: it is lost, and its replacement is waited for
  bool anew = false;  // it began without its part, and nobody has trained with it yet
  friend bool operator==(const ServerMember&, const ServerMember&) = default;
};

struct JobStatus {
  std::string phase;  // Pending | Running | Restarting | Suspended | Succeeded | Failed; empty: never written
  std::int64_t observed_generation = 0;
  Conditions conditions;
  std::optional<WallTime> start_time;
  std::optional<WallTime> completion_time;
  std::int64_t restarts = 0;            // failures that counted towards runPolicy.maxRestarts
  std::int64_t disruptions = 0;         // evictions, preemptions, deletions: restarted without counting
  std::int64_t incarnation = 0;         // 0: no pods were ever wanted
  std::int64_t formed_incarnation = 0;  // the last incarnation whose pods were all seen to exist
  std::int64_t membership = 0;          // the number of the roster that the pods are told of
  std::vector<RosterMember> roster;     // of a training, in order of rank; empty: none is formed yet
  std::vector<ServerMember> servers;    // whose ranks come behind it, by index; empty: none are formed yet
  std::int64_t holders = 0;             // its first ranks, which hold the state; 0: nothing is trained yet
  std::optional<WallTime> last_failure_time;  // of a pod that was replaced alone, in this incarnation
  std::optional<WallTime> last_restart_time;
  std::optional<WallTime> last_progress_time;  // when status.progress last moved on
  std::int64_t replicas = 0;                   // live pods of the incarnation
  std::int64_t ready_replicas = 0;
  std::string ready;                          // "3/4"
  std::string selector;                       // of the pods, for the scale subresource
  std::string gang;                           // whose group of pods there is: see core/gang.h
  std::string state_digest;                   // DistributedJob: of all replicas at the end; empty: not known
  std::vector<std::int64_t> succeeded_ranks;  // DistributedJob: done in this incarnation; sorted
  std::vector<PodAttempt> pod_attempts;       // of workers, or clients; sorted by index
  std::vector<PodAttempt> server_attempts;    // of parameter servers; likewise
  Json progress;                              // object or null; its fields: the CRD's status.progress
  Json history;                               // array of {at, loss, accuracy} or null
  friend bool operator==(const JobStatus&, const JobStatus&) = default;

  [[nodiscard]] bool finished() const {
    return is_true(conditions, "Succeeded") || is_true(conditions, "Failed");
  }
};

[[nodiscard]] JobStatus status_from_json(const Json& status);  // lenient: we wrote it, or it is absent
[[nodiscard]] Json to_json(const JobStatus& status);
// RFC 7386: the merge patch that turns `from` into `to`; an empty object when they are equal.
[[nodiscard]] Json merge_patch(const Json& from, const Json& to);

}  // namespace muster::op::api
