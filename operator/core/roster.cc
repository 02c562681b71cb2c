// operator/core/roster.cc: the roster of a training as its members are told it
#include "operator/core/roster.h"

#include <algorithm>

#include "common/base/host_port.h"
#include "pod/pod_contract.h"

namespace muster::op {

std::optional<Roster> roster_of(const std::vector<api::RosterMember>& members,
                                const std::vector<const Pod*>& workers) {
  Roster roster;
  for (const api::RosterMember& each : members) {
    const auto pod = std::ranges::find_if(workers, [&each](const Pod* has) { return has->uid == each.uid; });
    if (pod == workers.end() || (*pod)->ip.empty()) return std::nullopt;
    control::v1::Member& member = *roster.Add();
    member.set_pod_uid(each.uid);
    member.set_address(host_port((*pod)->ip, kDataPort));
  }
  return roster;
}

bool add_servers(Roster& roster, const std::vector<const Pod*>& servers) {
  for (const Pod* pod : servers) {
    if (pod->ip.empty()) return false;
    control::v1::Member& member = *roster.Add();
    member.set_pod_uid(pod->uid);
    member.set_address(host_port(pod->ip, kDataPort));
  }
  return true;
}

}  // namespace muster::op
