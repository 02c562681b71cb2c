#pragma once  // operator/core/gang.h: pods of a job that are placed together or not at all: by whom, and the
              // group object that tells the scheduler so
#include <optional>
#include <string>
#include <vector>

#include "operator/core/pass.h"

namespace muster::op {

// Whose group. kNative: Kubernetes' own, scheduling.k8s.io; kSchedulerPlugins: the coscheduling plugin's.
enum class Gang { kNone, kNative, kSchedulerPlugins, kVolcano };
[[nodiscard]] const char* name_of(Gang gang);                  // as in spec.scheduling.gang and status.gang
[[nodiscard]] Gang gang_named(const std::string& name);        // kNone for any other
[[nodiscard]] ServedApi SchedulingSeen::*place_of(Gang gang);  // of its API; not of kNone

struct GangWish {
  std::string choice;  // spec.scheduling.gang
  const Json& pod_template;
  std::int64_t pods = 0;
  const Json* server_template = nullptr;  // null: there are no servers
};

// The scheduler that a pod template names, and none by "", as for the API server: the default one.
[[nodiscard]] std::string named_scheduler(const Json& pod_template);

// An explicit choice, or the error why it cannot be. Auto never fails: the group that belongs to the
// scheduler which the template names, if the API server serves it.
[[nodiscard]] Result<Gang> choose_gang(const GangWish& wish, const SchedulingSeen& seen);

// Sees to the group of the incarnation's pods before any of them is created; `fresh`: none of them has ever
// been. An existing group of another size or kind goes first. nullopt: pods cannot be created yet. One
// scheduler places a group: servers with another than the workers' are refused where one is to be made.
[[nodiscard]] std::optional<Gang> prepare_gang(Pass& pass, const GangWish& wish, bool fresh);
// Makes the pod a member. One that starts anew alone beside others that have succeeded is none: schedulers do
// not count those, and it would wait for ever. Nor is one that comes to a training at work, which may have
// been scaled: the others do not wait for it.
void join_gang(const Pass& pass, Gang gang, std::int64_t pods, Json& pod);
// Sets GangScheduled by the pods' nodes and the group's own words.
void tell_gang(Pass& pass, const std::vector<const Pod*>& pods, std::int64_t wanted);
// Deletes the group, of which the scheduler may reserve room. status.gang is empty once it is gone.
void leave_gang(Pass& pass);

}  // namespace muster::op
