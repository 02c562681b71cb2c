// local/api/builtin_policies.cc: the checks of roles, budgets, network policies, claims and the like
#include <fmt/format.h>

#include <set>

#include "common/json/access.h"
#include "local/api/builtin_checks.h"
#include "local/api/metadata.h"
#include "local/api/pod_checks.h"

namespace muster::local {
namespace {

constexpr const char* kRbac = "rbac.authorization.k8s.io";

void check_rules(const Json& role, bool namespaced, FieldErrors& errors) {
  const Json& rules = array_of(role, "rules");
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::string at = fmt::format("rules[{}]", i);
    if (array_of(rules[i], "verbs").empty())
      errors.push_back(FieldError::required(at + ".verbs", "verbs must contain at least one value"));
    const Json& urls = array_of(rules[i], "nonResourceURLs");
    if (!urls.empty()) {
      if (namespaced)
        errors.push_back(go_invalid(at + ".nonResourceURLs", go_strings(urls),
                                    "namespaced rules cannot apply to non-resource URLs"));
      if (!array_of(rules[i], "apiGroups").empty() || !array_of(rules[i], "resources").empty() ||
          !array_of(rules[i], "resourceNames").empty())
        errors.push_back(go_invalid(at + ".nonResourceURLs", go_strings(urls),
                                    "rules cannot apply to both regular resources and non-resource URLs"));
      continue;
    }
    if (array_of(rules[i], "apiGroups").empty())
      errors.push_back(
          FieldError::required(at + ".apiGroups", "resource rules must supply at least one api group"));
    if (array_of(rules[i], "resources").empty())
      errors.push_back(
          FieldError::required(at + ".resources", "resource rules must supply at least one resource"));
  }
}

void check_subjects(const Json& binding, FieldErrors& errors) {
  const Json& subjects = array_of(binding, "subjects");
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    const std::string at = fmt::format("subjects[{}]", i);
    const std::string kind = text_at(subjects[i], "kind"), name = text_at(subjects[i], "name");
    const std::string group = text_at(subjects[i], "apiGroup");
    if (name.empty()) errors.push_back(FieldError::required(at + ".name"));
    if (kind == "ServiceAccount") {
      for (const std::string& wrong : name.empty() ? std::vector<std::string>{} : check_dns_subdomain(name))
        errors.push_back(FieldError::invalid(at + ".name", name, wrong));
      if (!group.empty()) errors.push_back(FieldError::not_supported(at + ".apiGroup", group, {""}));
      if (text_at(subjects[i], "namespace").empty())
        errors.push_back(FieldError::required(at + ".namespace"));
    } else if (kind == "User" || kind == "Group") {
      if (group != kRbac) errors.push_back(FieldError::not_supported(at + ".apiGroup", group, {kRbac}));
    } else {
      errors.push_back(FieldError::not_supported(at + ".kind", kind, {"ServiceAccount", "User", "Group"}));
    }
  }
}

void check_binding(const Kind& kind, const Json& binding, const Json* old, FieldErrors& errors) {
  const Json& role = object_of(binding, "roleRef");
  const std::string group = text_at(role, "apiGroup"), ref = text_at(role, "kind"),
                    name = text_at(role, "name");
  if (group != kRbac) errors.push_back(FieldError::not_supported("roleRef.apiGroup", group, {kRbac}));
  std::vector<std::string> kinds = {"ClusterRole"};
  if (kind.namespaced) kinds.insert(kinds.begin(), "Role");
  if (std::find(kinds.begin(), kinds.end(), ref) == kinds.end())
    errors.push_back(FieldError::not_supported("roleRef.kind", ref, kinds));
  if (name.empty()) errors.push_back(FieldError::required("roleRef.name"));
  for (const std::string& wrong : name.empty() ? std::vector<std::string>{} : check_path_segment(name))
    errors.push_back(FieldError::invalid("roleRef.name", name, wrong));
  check_subjects(binding, errors);
  if (old != nullptr && object_of(*old, "roleRef") != role)
    errors.push_back(go_invalid("roleRef",
                                fmt::format("rbac.RoleRef{{APIGroup:{}, Kind:{}, Name:{}}}", go_quote(group),
                                            go_quote(ref), go_quote(name)),
                                "cannot change roleRef"));
}

// A number or a percentage of at most 100.
void check_share(const Json& value, const std::string& path, FieldErrors& errors) {
  if (value.is_number_integer()) {
    if (value < 0) errors.push_back(FieldError::invalid(path, value, "must be greater than or equal to 0"));
  } else if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text.size() < 2 || text.back() != '%' || text.find_first_not_of("0123456789") != text.size() - 1)
      errors.push_back(
          FieldError::invalid(path, value,
                              "a valid percent string must be a numeric string followed by an ending "
                              "'%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"));
    else if (text.size() > 4 || std::stoi(text) > 100)
      errors.push_back(FieldError::invalid(path, value, "must not be greater than 100%"));
  }
}

void check_budget(const Json& budget, FieldErrors& errors) {
  const Json& spec = object_of(budget, "spec");
  if (spec.contains("minAvailable") && spec.contains("maxUnavailable"))
    errors.push_back(go_invalid("spec", "policy.PodDisruptionBudgetSpec{}",
                                "minAvailable and maxUnavailable cannot be both set"));
  for (const char* name : {"minAvailable", "maxUnavailable"})
    check_share(member(spec, name), std::string("spec.") + name, errors);
  const std::string policy = text_at(spec, "unhealthyPodEvictionPolicy");
  if (!policy.empty() && policy != "IfHealthyBudget" && policy != "AlwaysAllow")
    errors.push_back(FieldError::not_supported("spec.unhealthyPodEvictionPolicy", policy,
                                               {"AlwaysAllow", "IfHealthyBudget"}));
}

void check_claim(const Json& claim, const Json* old, FieldErrors& errors) {
  static const std::set<std::string> kModes = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                               "ReadWriteOncePod"};
  const Json& spec = object_of(claim, "spec");
  if (array_of(spec, "accessModes").empty())
    errors.push_back(FieldError::required("spec.accessModes", "at least 1 access mode is required"));
  for (const Json& mode : array_of(spec, "accessModes"))
    if (mode.is_string() && !kModes.count(mode.get<std::string>()))
      errors.push_back(FieldError::not_supported("spec.accessModes", mode, {kModes.begin(), kModes.end()}));
  const std::string size = text_at(object_of(object_of(spec, "resources"), "requests"), "storage");
  if (size.empty())
    errors.push_back(FieldError::required("spec.resources[storage]"));
  else if (quantity_value(size).value_or(1) <= 0)
    errors.push_back(FieldError::invalid("spec.resources[storage]", size, "must be greater than zero"));
  if (old == nullptr) return;
  // Only what a bound claim asks for may grow.
  Json before = object_of(*old, "spec"), now = spec;
  const std::string size_before = text_at(object_of(object_of(before, "resources"), "requests"), "storage");
  const bool bound = text_at(object_of(*old, "status"), "phase") == "Bound";
  if (text_at(before, "volumeName").empty() && !bound) before["volumeName"] = now.value("volumeName", Json());
  for (Json* each : {&before, &now}) {
    if (bound) (*each)["resources"]["requests"].erase("storage");
    if (each->value("volumeName", Json()).is_null()) each->erase("volumeName");
  }
  if (before != now)
    errors.push_back(FieldError::forbidden(
        "spec",
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for "
        "bound claims\n" +
            changed_fields(before, now)));
  else if (bound && quantity_value(size).value_or(0) < quantity_value(size_before).value_or(0))
    errors.push_back(FieldError::forbidden("spec.resources.requests.storage",
                                           "field can not be less than status.capacity"));
}

void check_priority(const Json& priority, const Json* old, FieldErrors& errors) {
  const std::string name = meta_text(priority, "name");
  const Json value = priority.value("value", Json(0));
  const bool of_system = (name == "system-node-critical" && value == 2000001000) ||
                         (name == "system-cluster-critical" && value == 2000000000);
  if (name.rfind("system-", 0) == 0 && !of_system)
    errors.push_back(FieldError::forbidden(
        "metadata.name", "priority class names with 'system-' prefix are reserved for system use only"));
  else if (value.is_number() && value > 1000000000 && !of_system)
    errors.push_back(
        FieldError::forbidden("value", "maximum allowed value of a user defined priority is 1000000000"));
  if (old != nullptr && old->value("value", Json(0)) != value)
    errors.push_back(FieldError::forbidden("value", "may not be changed in an update."));
  if (old != nullptr && text_at(*old, "preemptionPolicy") != text_at(priority, "preemptionPolicy"))
    errors.push_back(
        FieldError::invalid("preemptionPolicy", text_at(priority, "preemptionPolicy"), "field is immutable"));
}

void check_quota(const Json& quota, FieldErrors& errors) {
  for (const auto& [name, value] : object_of(object_of(quota, "spec"), "hard").items())
    if (value.is_string() && quantity_value(value.get<std::string>()).value_or(0) < 0)
      errors.push_back(FieldError::invalid(fmt::format("spec.hard[{}]", name), value,
                                           "must be greater than or equal to 0"));
}

void check_policy_types(const Json& policy, FieldErrors& errors) {
  const Json& types = array_of(object_of(policy, "spec"), "policyTypes");
  if (types.size() > 2)
    errors.push_back(
        go_invalid("spec.policyTypes", go_strings(types), "may not specify more than two policyTypes"));
  else
    for (std::size_t i = 0; i < types.size(); ++i)
      if (types[i] != "Ingress" && types[i] != "Egress")
        errors.push_back(FieldError::not_supported(fmt::format("spec.policyTypes[{}]", i), types[i],
                                                   {"Egress", "Ingress"}));
}

}  // namespace

FieldError go_invalid(std::string path, const std::string& shown, const std::string& why) {
  return {"FieldValueInvalid", std::move(path), fmt::format("Invalid value: {}: {}", shown, why)};
}

std::string go_strings(const Json& list) {
  std::string text;
  for (const Json& item : list) text += (text.empty() ? "" : ", ") + go_value(item);
  return "[]string{" + text + "}";
}

std::string go_string_map(const Json& map) {
  if (map.empty()) return "map[string]string(nil)";
  std::string text;
  for (const auto& [name, value] : map.items())
    text += (text.empty() ? "" : ", ") + go_quote(name) + ":" + go_value(value);
  return "map[string]string{" + text + "}";
}

bool is_port(const Json& port) { return port.is_number_integer() && port >= 1 && port <= 65535; }

void validate_policies(const Kind& kind, const Json& object, const Json* old, FieldErrors& errors) {
  if (kind.kind == "Role" || kind.kind == "ClusterRole") check_rules(object, kind.namespaced, errors);
  if (kind.kind == "RoleBinding" || kind.kind == "ClusterRoleBinding")
    check_binding(kind, object, old, errors);
  if (kind.kind == "PodDisruptionBudget") check_budget(object, errors);
  if (kind.kind == "NetworkPolicy") check_policy_types(object, errors);
  if (kind.kind == "PersistentVolumeClaim") check_claim(object, old, errors);
  if (kind.kind == "PriorityClass") check_priority(object, old, errors);
  if (kind.kind == "ResourceQuota") check_quota(object, errors);
}

}  // namespace muster::local
