#pragma once  // operator/core/servers.h: the parameter servers of a training
#include <vector>

#include "operator/api/distributed_job.h"
#include "operator/core/membership.h"
#include "operator/core/pass.h"

namespace muster::op {

inline constexpr const char* kServerRole = "server";

[[nodiscard]] std::int64_t servers_wanted(const api::DistributedJobSpec& spec);
// Of the spec; null: none is written.
[[nodiscard]] const Json& server_template(const api::DistributedJobSpec& spec);

// Each server holds a part of the parameters, and the next one (of the last: the first) a copy of it
// (docs/adr/0018). So one that is lost is replaced alone, as a worker is; where the only copy may be lost
// with it, all pods begin anew, from the newest checkpoint. True when the pass is over. `servers`, `workers`:
// of the present incarnation, without those whose replacement is under way.
[[nodiscard]] bool judge_servers(Pass& pass, const api::DistributedJobSpec& spec,
                                 const std::vector<const Pod*>& servers,
                                 const std::vector<const Pod*>& workers);

// Of those, the pods of the members, by index; others are left out.
[[nodiscard]] std::vector<const Pod*> servers_of(const std::vector<api::ServerMember>& members,
                                                 const std::vector<const Pod*>& servers);

[[nodiscard]] ServersBeside servers_beside(const Pass& pass, const api::DistributedJobSpec& spec,
                                           const std::vector<const Pod*>& servers);
// Members of the next membership: all that are wanted are there.
[[nodiscard]] std::vector<api::ServerMember> next_servers(const std::vector<api::ServerMember>& members,
                                                          const std::vector<const Pod*>& servers);

}  // namespace muster::op
