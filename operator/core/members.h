#pragma once  // operator/core/members.h: the members of a training as a pass sees them: pods, ranks, words
#include <string>
#include <vector>

#include "operator/api/distributed_job.h"
#include "operator/core/membership.h"
#include "operator/core/pass.h"

namespace muster::op {

[[nodiscard]] bool is_member(const api::JobStatus& status, const Pod& pod);
[[nodiscard]] const Pod* find_pod(const std::vector<const Pod*>& pods, const std::string& uid);  // or null

// Those of `workers` that are members, in order of rank; all of them, in order of index, while none is
// formed.
[[nodiscard]] std::vector<const Pod*> ranked(const api::JobStatus& status,
                                             const std::vector<const Pod*>& workers);
// The pod that has rank 0; null: it is not among them.
[[nodiscard]] const Pod* rank_0_of(const api::JobStatus& status, const std::vector<const Pod*>& workers);

// A membership is formed, and has as many members as may work on.
[[nodiscard]] bool may_work(const api::JobStatus& status, const api::DistributedJobSpec& spec);

// What the Agent of a pod has told last; null: nothing yet.
[[nodiscard]] const control::v1::AgentStatus* word_from(const Pass& pass, const Pod& pod);
// The pod as its Agent shows it.
[[nodiscard]] Candidate candidate_of(const Pass& pass, const Pod& pod);
// One of them works in the present membership: none begins before all members have the assignment.
[[nodiscard]] bool they_work(const Pass& pass, const std::vector<const Pod*>& members);

// A worker has done its last step, or nobody has more to ask of a server: no other membership can come, and
// what is lost then, starts all anew.
[[nodiscard]] bool last_step_done(const Pass& pass, const std::vector<const Pod*>& workers,
                                  const std::vector<const Pod*>& servers);

}  // namespace muster::op
