// operator/core/roster.cc: ranks are given in order of the pods' indexes
#include "operator/core/roster.h"

#include "common/base/host_port.h"
#include "pod/pod_contract.h"

namespace muster::op {

std::optional<Roster> roster_of(const Observed& seen, const std::vector<const Pod*>& workers) {
  Roster roster;
  for (const Pod* pod : workers) {
    const bool answers = seen.agents.contains(pod->uid) || pod->phase == PodPhase::kSucceeded;
    if (pod->ip.empty() || !answers) return std::nullopt;
    control::v1::Member& member = *roster.Add();
    member.set_pod_uid(pod->uid);
    member.set_address(host_port(pod->ip, kDataPort));
  }
  return roster;
}

}  // namespace muster::op
