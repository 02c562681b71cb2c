#pragma once  // operator/core/in_place.h: commands of users' own that start again in their pods
#include <string>
#include <vector>

#include "operator/api/distributed_job.h"
#include "operator/core/pass.h"

namespace muster::op {

// Of a job with runPolicy.restart InPlace. A membership is one run of all commands, each under muster-exec:
//
//   decided (status: membership m, no roster) --> each is told m: it ends what it ran --> all are ready
//      ^                                                                                     |
//      |  a command failed, a pod is lost, replicas were changed                             v
//      +------------------------------ all run <-------------- the roster of all pods is in the status: start
//
// A decision is one status write. Whoever is in the roster of m has run nothing but m's since, so that an end
// with 0 of one that is not, told late, is of an earlier membership: its worker gets a new pod. A pod that is
// lost is made anew under its name (pod_attempts.h) and the others keep theirs; so does every pod where a
// command alone has failed. What a command that is told m ends with afterwards has no meaning.

// Judges ended commands and lost pods, and forms the roster. True when the pass is over. `workers`: of the
// present incarnation, without those whose replacement is under way.
[[nodiscard]] bool tend_in_place(Pass& pass, const api::DistributedJobSpec& spec,
                                 const std::vector<const Pod*>& workers);

// Tells the pods their membership, and, once all are ready and nothing runs in those that leave, that they
// may start. Pods above the wanted number are deleted. `replaced`: on their way out, for another pod of their
// name.
void configure_in_place(Pass& pass, const api::DistributedJobSpec& spec,
                        const std::vector<const Pod*>& workers, const std::vector<const Pod*>& replaced);

// All commands run, or are done.
[[nodiscard]] bool commands_run(const Pass& pass, const api::DistributedJobSpec& spec,
                                const std::vector<const Pod*>& workers);

}  // namespace muster::op
