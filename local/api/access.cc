// local/api/access.cc: roles and their bindings
#include "local/api/access.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <sstream>

#include "local/api/http_api.h"
#include "local/api/list_options.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

constexpr const char* kMasters = "system:masters";
constexpr std::string_view kRbac = ".rbac.authorization.k8s.io";

bool in_group(const User& user, std::string_view group) {
  return std::ranges::find(user.groups, group) != user.groups.end();
}

bool is_subject(const User& user, const Json& subject) {
  const std::string kind = text_at(subject, "kind"), name = text_at(subject, "name");
  if (kind == "User") return user.name == name;
  if (kind == "Group") return in_group(user, name);
  return kind == "ServiceAccount" &&
         user.name == fmt::format("system:serviceaccount:{}:{}", text_at(subject, "namespace"), name);
}

bool holds(const Json& rule, const char* list, std::string_view value) {
  return std::ranges::any_of(array_of(rule, list),
                             [&](const Json& each) { return each == "*" || each == value; });
}

bool gives(const Json& rule, const Access& access) {
  if (!holds(rule, "verbs", access.verb) || !holds(rule, "apiGroups", access.group)) return false;
  const Json& names = array_of(rule, "resourceNames");
  if (!names.empty() && std::find(names.begin(), names.end(), access.name) == names.end()) return false;
  const auto slash = access.resource.find('/');
  return holds(rule, "resources", access.resource) ||
         (slash != std::string::npos && holds(rule, "resources", "*" + access.resource.substr(slash)));
}

// Calls `found` for each rule of `user` in `ns` until it returns true; whether it did.
bool any_rule(const ObjectStore& store, const User& user, const std::string& ns,
              const std::function<bool(const Json&)>& found) {
  const auto bound = [&](const char* bindings, const std::string& where) {
    for (const ObjectPtr& each : store.list(fmt::format("{}{}", bindings, kRbac), where).objects) {
      const Json binding = each->json();
      const Json& subjects = array_of(binding, "subjects");
      if (std::ranges::none_of(subjects, [&](const Json& subject) { return is_subject(user, subject); }))
        continue;
      const Json& role = object_of(binding, "roleRef");
      const bool of_cluster = text_at(role, "kind") == "ClusterRole";
      const ObjectPtr stored = store.get(fmt::format("{}{}", of_cluster ? "clusterroles" : "roles", kRbac),
                                         of_cluster ? "" : where, text_at(role, "name"));
      if (!stored) continue;
      const Json json = stored->json();
      if (std::ranges::any_of(array_of(json, "rules"), found)) return true;
    }
    return false;
  };
  return bound("clusterrolebindings", "") || (!ns.empty() && bound("rolebindings", ns));
}

// What every cluster gives to all (system:basic-user).
bool asks_about_itself(const Access& access) {
  return access.verb == "create" &&
         (access.resource == "selfsubjectaccessreviews" || access.resource == "selfsubjectrulesreviews" ||
          access.resource == "selfsubjectreviews");
}

std::string verb_of(const HttpRequest& request, const RequestTarget& target) {
  const bool one = !target.name.empty();
  const std::string& method = request.method;
  if (method == "GET" && (target.watch_path || (!one && flag_parameter(request, "watch")))) return "watch";
  if (method == "GET" || method == "HEAD") return one ? "get" : "list";
  if (method == "POST") return "create";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  return one ? "delete" : "deletecollection";
}

std::string selected_name(std::string_view selector) {
  constexpr std::string_view kName = "metadata.name=";
  if (!selector.starts_with(kName)) return "";
  selector.remove_prefix(kName.size());
  if (selector.starts_with('=')) selector.remove_prefix(1);
  return std::string(selector.substr(0, selector.find(',')));
}

}  // namespace

Json User::json() const {
  Json out{{"username", name}, {"groups", groups}};
  if (!uid.empty()) out["uid"] = uid;
  return out;
}

User admin_user() { return {"muster-admin", "", {kMasters, "system:authenticated"}}; }

User account_user(const std::string& ns, const std::string& name, const std::string& uid) {
  return {fmt::format("system:serviceaccount:{}:{}", ns, name),
          uid,
          {"system:serviceaccounts", "system:serviceaccounts:" + ns, "system:authenticated"}};
}

ApiResult<User> acting_user(User user, const HttpRequest& request) {
  const std::string name(request.header("impersonate-user"));
  if (name.empty()) return user;
  if (!in_group(user, kMasters)) return not_allowed(user, {"impersonate", "", "users", "", name});
  User other{name, "", {}};
  constexpr std::string_view kAccount = "system:serviceaccount:";
  if (const auto colon = name.rfind(':'); name.starts_with(kAccount) && colon > kAccount.size())
    other = account_user(name.substr(kAccount.size(), colon - kAccount.size()), name.substr(colon + 1), "");
  else
    other.groups.emplace_back("system:authenticated");
  std::istringstream groups{std::string(request.header("impersonate-group"))};
  for (std::string group; std::getline(groups >> std::ws, group, ',');) other.groups.push_back(group);
  return other;
}

Access access_of(const HttpRequest& request, const RequestTarget& target) {
  Access out{verb_of(request, target), target.group, target.plural, target.ns, target.name};
  if (!target.subresource.empty()) out.resource += "/" + target.subresource;
  if (out.name.empty() && out.verb != "create") out.name = selected_name(request.parameter("fieldSelector"));
  if (target.group.empty() && target.plural == "namespaces") out.ns = target.name;
  return out;
}

bool allowed(const ObjectStore& store, const User& user, const Access& access) {
  return in_group(user, kMasters) || asks_about_itself(access) ||
         any_rule(store, user, access.ns, [&](const Json& rule) { return gives(rule, access); });
}

Json rules_of(const ObjectStore& store, const User& user, const std::string& ns) {
  const Json all = Json::array({"*"});
  Json rules = Json::array();
  if (in_group(user, kMasters)) {
    rules.push_back({{"verbs", all}, {"apiGroups", all}, {"resources", all}});
  } else {
    (void)any_rule(store, user, ns, [&](const Json& rule) {
      if (rule.contains("resources")) rules.push_back(rule);
      return false;
    });
  }
  Json paths = Json::array(
      {{{"verbs", Json::array({"get"})},
        {"nonResourceURLs", Json::array({"/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez",
                                         "/openapi", "/openapi/*", "/readyz", "/version"})}}});
  if (in_group(user, kMasters)) paths = Json::array({{{"verbs", all}, {"nonResourceURLs", all}}});
  return {{"resourceRules", rules}, {"nonResourceRules", paths}, {"incomplete", false}};
}

ApiError not_allowed(const User& user, const Access& access) {
  const std::string plural = access.resource.substr(0, access.resource.find('/'));
  const std::string resource = access.group.empty() ? plural : plural + "." + access.group;
  ApiError error = ApiError::forbidden(resource, access.name, "");
  error.message =
      fmt::format("{}{} is forbidden: User {} cannot {} resource {} in API group {} {}", resource,
                  access.name.empty() ? "" : " " + go_quote(access.name), go_quote(user.name), access.verb,
                  go_quote(access.resource), go_quote(access.group),
                  access.ns.empty() ? "at the cluster scope" : "in the namespace " + go_quote(access.ns));
  return error;
}

}  // namespace muster::local
