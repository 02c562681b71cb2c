#pragma once  // operator/shell/authority_secret.h: Secret muster-ca, which all replicas of the operator share
#include <string>

#include "kube/client.h"
#include "operator/control/issuer.h"

namespace muster::op {

inline constexpr const char* kAuthoritySecret = "muster-ca";
inline constexpr const char* kOperatorNamespace = "muster-system";

// Reads the Secret in `ns`, or makes it: whoever creates it first wins, and the others read what he made.
// Needs the rights to get this one name and to create Secrets. Errors that last until somebody acts:
// kDataLoss: its content is not what an operator makes. Else trying again may help: kNotFound: there is no
// such namespace; kPermissionDenied: a right is missing; others of kube::Client.
[[nodiscard]] Result<Issuer> load_issuer(kube::Client& client, const std::string& ns, WallTime now);

}  // namespace muster::op
