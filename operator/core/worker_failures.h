#pragma once  // operator/core/worker_failures.h: what the ends of workers mean for their DistributedJob
#include <vector>

#include "operator/api/distributed_job.h"
#include "operator/core/pass.h"

namespace muster::op {

// True when the pass is over: the job failed, or its membership starts anew. `workers`: of the present
// incarnation. A worker of ours that ended because it lost a peer (exit code 75) tells of a cause elsewhere,
// which decides: another pod's exit code, its eviction, that it has never started, or, when nothing is told
// for 15 s, that its node is lost.
[[nodiscard]] bool judge_workers(Pass& pass, const api::DistributedJobSpec& spec,
                                 const std::vector<const Pod*>& workers);

}  // namespace muster::op
