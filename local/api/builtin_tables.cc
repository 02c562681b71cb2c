// local/api/builtin_tables.cc: the columns of built-in kinds, as kubectl users know them
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "local/api/conversion.h"
#include "local/api/metadata.h"
#include "local/api/table_cells.h"

namespace muster::local {

std::string created(const Json& object, WallTime now) {
  return age(meta_text(object, "creationTimestamp"), now);
}

std::string join(const std::vector<std::string>& parts, const char* none) {
  return parts.empty() ? none : fmt::format("{}", fmt::join(parts, ","));
}

std::vector<std::string> strings_of(const Json& object, const char* name) {
  std::vector<std::string> texts;
  for (const Json& each : array_of(object, name))
    if (each.is_string()) texts.push_back(each.get<std::string>());
  return texts;
}

bool flag_of(const Json& object, const char* name, bool otherwise) {
  return boolean(member(object, name), otherwise);
}

std::string text_or(const Json& object, const char* name, const char* otherwise) {
  const std::string text = text_at(object, name);
  return text.empty() ? otherwise : text;
}

std::string labels_text(const Json& labels) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : labels.items())
    if (value.is_string()) parts.push_back(key + "=" + value.get<std::string>());
  return join(parts);
}

std::string selector_text(const Json& selector, const char* none) {
  std::vector<std::pair<std::string, std::string>> terms;  // by key
  for (const auto& [key, value] : object_of(selector, "matchLabels").items())
    if (value.is_string()) terms.emplace_back(key, key + "=" + value.get<std::string>());
  for (const Json& each : array_of(selector, "matchExpressions")) {
    const std::string key = text_at(each, "key"), op = text_at(each, "operator");
    std::vector<std::string> values = strings_of(each, "values");
    std::sort(values.begin(), values.end());
    if (op == "In") terms.emplace_back(key, fmt::format("{} in ({})", key, join(values, "")));
    if (op == "NotIn") terms.emplace_back(key, fmt::format("{} notin ({})", key, join(values, "")));
    if (op == "Exists") terms.emplace_back(key, key);
    if (op == "DoesNotExist") terms.emplace_back(key, "!" + key);
  }
  std::stable_sort(terms.begin(), terms.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> parts;
  parts.reserve(terms.size());
  for (auto& [key, text] : terms) parts.push_back(std::move(text));
  return join(parts, none);
}

bool has_condition(const Json& status, std::string_view type) {
  const Json& conditions = array_of(status, "conditions");
  return std::any_of(conditions.begin(), conditions.end(), [&](const Json& each) {
    return text_at(each, "type") == type && text_at(each, "status") == "True";
  });
}

namespace {

struct Definition {
  const char* columns;  // "Name,Type,IP*": "*" marks what only a wide table shows, "#" a number
  Cells (*cells)(const Json&, WallTime);
};

Cells namespace_cells(const Json& o, WallTime now) {
  return {meta_text(o, "name"), text_at(object_of(o, "status"), "phase"), created(o, now)};
}

Cells config_map_cells(const Json& o, WallTime now) {
  return {meta_text(o, "name"), object_of(o, "data").size() + object_of(o, "binaryData").size(),
          created(o, now)};
}

Cells secret_cells(const Json& o, WallTime now) {
  return {meta_text(o, "name"), text_at(o, "type"), object_of(o, "data").size(), created(o, now)};
}

Cells account_cells(const Json& o, WallTime now) {
  return {meta_text(o, "name"), array_of(o, "secrets").size(), created(o, now)};
}

Cells lease_cells(const Json& o, WallTime now) {
  return {meta_text(o, "name"), text_at(object_of(o, "spec"), "holderIdentity"), created(o, now)};
}

Cells policy_cells(const Json& o, WallTime now) {
  return {meta_text(o, "name"), selector_text(object_of(object_of(o, "spec"), "podSelector")),
          created(o, now)};
}

Cells priority_cells(const Json& o, WallTime now) {
  return {meta_text(o, "name"), integer_at(o, "value"), flag_of(o, "globalDefault"), created(o, now),
          text_at(o, "preemptionPolicy")};
}

// Kinds without columns of their own: roles, limit ranges, definitions.
Cells other_cells(const Json& o, WallTime) {
  return {meta_text(o, "name"), meta_text(o, "creationTimestamp")};
}

constexpr Definition kOther = {"Name,Created At@", other_cells};

constexpr std::pair<const char*, Definition> kDefinitions[] = {
    {"pods", {"Name,Ready,Status,Restarts,Age,IP*,Node*,Nominated Node*,Readiness Gates*", pod_cells}},
    {"services", {"Name,Type,Cluster-IP,External-IP,Port(s),Age,Selector*", service_cells}},
    {"endpoints", {"Name,Endpoints,Age", endpoints_cells}},
    {"nodes",
     {"Name,Status,Roles,Age,Version,Internal-IP*,External-IP*,OS-Image*,Kernel-Version*,"
      "Container-Runtime*",
      node_cells}},
    {"events",
     {"Last Seen,Type,Reason,Object,Subobject*,Source*,Message,First Seen*,Count*,Name*", event_cells}},
    {"namespaces", {"Name,Status,Age", namespace_cells}},
    {"configmaps", {"Name,Data,Age", config_map_cells}},
    {"secrets", {"Name,Type,Data,Age", secret_cells}},
    {"serviceaccounts", {"Name,Secrets,Age", account_cells}},
    {"resourcequotas", {"Name,Request,Limit,Age", quota_cells}},
    {"persistentvolumeclaims",
     {"Name,Status,Volume,Capacity,Access Modes,StorageClass,VolumeAttributesClass,Age,VolumeMode*",
      claim_cells}},
    {"deployments.apps",
     {"Name,Ready,Up-to-date,Available,Age,Containers*,Images*,Selector*", deployment_cells}},
    {"replicasets.apps",
     {"Name,Desired#,Current#,Ready#,Age,Containers*,Images*,Selector*", replica_set_cells}},
    {"jobs.batch", {"Name,Status,Completions,Duration,Age,Containers*,Images*,Selector*", job_cells}},
    {"poddisruptionbudgets.policy",
     {"Name,Min Available,Max Unavailable,Allowed Disruptions#,Age", disruption_budget_cells}},
    {"networkpolicies.networking.k8s.io", {"Name,Pod-Selector,Age", policy_cells}},
    {"endpointslices.discovery.k8s.io", {"Name,AddressType,Ports,Endpoints,Age", endpoint_slice_cells}},
    {"rolebindings.rbac.authorization.k8s.io",
     {"Name,Role,Age,Users*,Groups*,ServiceAccounts*", binding_cells}},
    {"clusterrolebindings.rbac.authorization.k8s.io",
     {"Name,Role,Age,Users*,Groups*,ServiceAccounts*", binding_cells}},
    {"priorityclasses.scheduling.k8s.io",
     {"Name,Value#,Global-Default,Age,PreemptionPolicy", priority_cells}},
    {"leases.coordination.k8s.io", {"Name,Holder,Age", lease_cells}},
};

struct Table {
  std::vector<PrinterColumn> columns;
  Cells (*cells)(const Json&, WallTime);
};

Table make_table(const Definition& definition) {
  Table table{{}, definition.cells};
  for (std::string_view rest = definition.columns; !rest.empty();) {
    std::string name(rest.substr(0, rest.find(',')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    PrinterColumn column;
    column.type = "string";
    if (name.back() == '*') column.priority = 1;
    if (name.back() == '#') column.type = "integer";
    if (name.back() == '@') column.type = "date";
    if (std::string_view("*#@").find(name.back()) != std::string_view::npos) name.pop_back();
    column.name = name;
    column.format = name == "Name" ? "name" : "";
    column.description = name + " of the object.";
    table.columns.push_back(std::move(column));
  }
  return table;
}

const Table& table_of(const Kind& kind) {
  static const Table kDefault = make_table(kOther);
  static const auto kAll = [] {
    std::map<std::string, Table> all;
    for (const auto& [resource, definition] : kDefinitions) all[resource] = make_table(definition);
    return all;
  }();
  const auto it = kAll.find(kind.storage());
  return it == kAll.end() ? kDefault : it->second;
}

}  // namespace

const std::vector<PrinterColumn>& builtin_columns(const Kind& kind) { return table_of(kind).columns; }

Json builtin_cells(const Kind& kind, const Json& object, WallTime now) {
  if (kind.stored_as.empty()) return Json(table_of(kind).cells(object, now));
  Json stored = object;
  to_stored(kind, stored);
  return Json(table_of(kind).cells(stored, now));
}

}  // namespace muster::local
