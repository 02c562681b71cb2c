#pragma once  // operator/core/worker_failures.h: what the ends of workers mean for their DistributedJob
#include <set>
#include <string>
#include <vector>

#include "operator/api/distributed_job.h"
#include "operator/core/pass.h"

namespace muster::op {

// True when the pass is over: the job failed, or its membership starts anew. `workers`: of the present
// incarnation. A worker of ours that ended because it lost a peer (exit code 75) tells of a cause elsewhere,
// which decides: another pod's exit code, its eviction, that it has never started, that by the words of its
// peers it stands still, or that its Node is lost. That nothing is told for a minute is a disruption, too.
[[nodiscard]] bool judge_workers(Pass& pass, const api::DistributedJobSpec& spec,
                                 const std::vector<const Pod*>& workers);

// The nodes of which the pass needs to know whether they are lost: those of overdue pods, and that of a
// worker that has not ended though its peers have lost one, some seconds ago.
[[nodiscard]] std::set<std::string> nodes_in_question(const Observed& seen);

}  // namespace muster::op
