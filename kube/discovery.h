#pragma once  // kube/discovery.h: which APIs a server serves
#include <map>
#include <set>
#include <string>
#include <vector>

#include "kube/client.h"

namespace muster::kube {

// By group: its versions, as GET /apis lists them. Every user may ask, unless system:discovery was taken
// away.
[[nodiscard]] Result<std::map<std::string, std::set<std::string>>> served_groups(Client& client);
// The plurals of one version; empty when it is not served.
[[nodiscard]] Result<std::set<std::string>> served_plurals(Client& client, const std::string& group,
                                                           const std::string& version);

}  // namespace muster::kube
