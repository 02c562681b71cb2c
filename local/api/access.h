#pragma once  // local/api/access.h: who asks for what, and whether the stored roles allow it
#include <string>
#include <vector>

#include "local/api/api_error.h"
#include "local/api/http_message.h"
#include "local/api/object_store.h"

namespace muster::local {

struct User {
  std::string name, uid;
  std::vector<std::string> groups;
  [[nodiscard]] Json json() const;  // authentication/v1 UserInfo
};
[[nodiscard]] User admin_user();  // who shows the token of the kubeconfig; may do everything
[[nodiscard]] User account_user(const std::string& ns, const std::string& name, const std::string& uid);

// Whoever `user`, who may do everything, wants to be taken for (kubectl --as, --as-group); else `user`.
// Anybody else who wants that is refused.
[[nodiscard]] ApiResult<User> acting_user(User user, const HttpRequest& request);

struct RequestTarget;

// A request as roles speak of it.
struct Access {
  std::string verb, group, resource, ns, name;  // resource: with its subresource, "pods/log"
};
// Of a list or watch of the one object that a field selector names, that is the name, as in a cluster.
[[nodiscard]] Access access_of(const HttpRequest& request, const RequestTarget& target);

// By the roles that are bound in the whole cluster, and in the namespace of the request. Whoever is in
// system:masters may do everything, and everyone may ask what he may do.
[[nodiscard]] bool allowed(const ObjectStore& store, const User& user, const Access& access);
// All rules that `user` has in `ns` (in SelfSubjectRulesReview's form).
[[nodiscard]] Json rules_of(const ObjectStore& store, const User& user, const std::string& ns);

// "leases.coordination.k8s.io is forbidden: User "u" cannot list resource "leases" in API group ..."
[[nodiscard]] ApiError not_allowed(const User& user, const Access& access);

}  // namespace muster::local
