// operator/core/roster.cc: ranks are given in order of the pods' indexes
#include "operator/core/roster.h"

#include "common/base/host_port.h"
#include "pod/pod_contract.h"

namespace muster::op {

std::optional<std::vector<Member>> roster_of(const Observed& seen, const std::vector<const Pod*>& workers) {
  std::vector<Member> roster;
  for (const Pod* pod : workers) {
    const bool answers = seen.agents.contains(pod->uid) || pod->phase == PodPhase::kSucceeded;
    if (pod->ip.empty() || !answers) return std::nullopt;
    roster.push_back({.pod_uid = pod->uid, .local_rank = 0, .address = host_port(pod->ip, kDataPort)});
  }
  return roster;
}

}  // namespace muster::op
