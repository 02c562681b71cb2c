#pragma once  // operator/core/servers.h: the parameter servers of a training
#include <vector>

#include "operator/api/distributed_job.h"
#include "operator/core/pass.h"

namespace muster::op {

inline constexpr const char* kServerRole = "server";

[[nodiscard]] std::int64_t servers_wanted(const api::DistributedJobSpec& spec);
// Of the spec; null: none is written.
[[nodiscard]] const Json& server_template(const api::DistributedJobSpec& spec);

// Each server holds a part of the parameters that nobody else has, so with one that is lost all pods begin
// anew, from the newest checkpoint. True when the pass is over. `servers`, `workers`: of the present
// incarnation.
[[nodiscard]] bool judge_servers(Pass& pass, const api::DistributedJobSpec& spec,
                                 const std::vector<const Pod*>& servers,
                                 const std::vector<const Pod*>& workers);

}  // namespace muster::op
