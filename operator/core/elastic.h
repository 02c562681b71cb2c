#pragma once  // operator/core/elastic.h: workers of a training come and go, and the others work on
#include <vector>

#include "operator/api/distributed_job.h"
#include "operator/core/pass.h"

namespace muster::op {

// Judges the lost workers of a training, each by itself, and forms the next membership of those who are left
// and those who have come. A worker that is lost is replaced alone (see pod_attempts.h); only where nobody
// who holds the state is left, all begin anew, as judge_workers has it. True when the pass is over.
// `workers`, `servers`: of the present incarnation, without those whose replacement is under way.
[[nodiscard]] bool tend_members(Pass& pass, const api::DistributedJobSpec& spec,
                                const std::vector<const Pod*>& workers,
                                const std::vector<const Pod*>& servers);

// Pods above the wanted number go once the members work without them.
void remove_surplus(Pass& pass, const api::DistributedJobSpec& spec, const std::vector<const Pod*>& workers);

}  // namespace muster::op
