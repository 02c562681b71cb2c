// local/api/table_cluster.cc: the cells of nodes, events, storage, quotas and bindings of roles
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "local/api/metadata.h"
#include "local/api/table_cells.h"

namespace muster::local {
namespace {

// Always in this order, each once.
std::string access_modes(const Json& modes) {
  constexpr std::pair<const char*, const char*> kShort[] = {{"ReadWriteOnce", "RWO"},
                                                            {"ReadOnlyMany", "ROX"},
                                                            {"ReadWriteMany", "RWX"},
                                                            {"ReadWriteOncePod", "RWOP"}};
  std::vector<std::string> parts;
  for (const auto& [mode, text] : kShort)
    if (std::find(modes.begin(), modes.end(), mode) != modes.end()) parts.emplace_back(text);
  return join(parts, "");
}

std::string storage_class(const Json& object) {
  const Json& annotations = object_of(object_of(object, "metadata"), "annotations");
  const std::string old = text_at(annotations, "volume.beta.kubernetes.io/storage-class");
  return old.empty() ? text_at(object_of(object, "spec"), "storageClassName") : old;
}

std::string address_of(const Json& status, std::string_view type) {
  for (const Json& each : array_of(status, "addresses"))
    if (text_at(each, "type") == type) return text_at(each, "address");
  return "<none>";
}

std::vector<std::string> node_roles(const Json& node) {
  constexpr std::string_view kRole = "node-role.kubernetes.io/";
  std::set<std::string> roles;
  for (const auto& [key, value] : object_of(object_of(node, "metadata"), "labels").items()) {
    if (key.rfind(kRole, 0) == 0 && key.size() > kRole.size()) roles.insert(key.substr(kRole.size()));
    if (key == "kubernetes.io/role" && value.is_string() && !value.get_ref<const std::string&>().empty())
      roles.insert(value.get<std::string>());
  }
  return {roles.begin(), roles.end()};
}

}  // namespace

Cells node_cells(const Json& node, WallTime now) {
  const Json& status = object_of(node, "status");
  const Json& info = object_of(status, "nodeInfo");
  std::vector<std::string> states;
  for (const Json& each : array_of(status, "conditions"))
    if (text_at(each, "type") == "Ready")
      states.emplace_back(text_at(each, "status") == "True" ? "Ready" : "NotReady");
  if (states.empty()) states.emplace_back("Unknown");
  if (flag_of(object_of(node, "spec"), "unschedulable")) states.emplace_back("SchedulingDisabled");
  return {meta_text(node, "name"),
          join(states),
          join(node_roles(node)),
          created(node, now),
          text_at(info, "kubeletVersion"),
          address_of(status, "InternalIP"),
          address_of(status, "ExternalIP"),
          text_or(info, "osImage", "<unknown>"),
          text_or(info, "kernelVersion", "<unknown>"),
          text_or(info, "containerRuntimeVersion", "<unknown>")};
}

Cells event_cells(const Json& event, WallTime now) {
  const Json& object = object_of(event, "involvedObject");
  std::string target = text_at(object, "kind");
  std::transform(target.begin(), target.end(), target.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (const std::string name = text_at(object, "name"); !name.empty()) target += "/" + name;
  const std::string first = age(text_or(event, "firstTimestamp", text_at(event, "eventTime").c_str()), now);
  std::string last = text_at(event, "lastTimestamp");
  last = last.empty() ? first : age(last, now);
  std::int64_t count = std::max<std::int64_t>(integer_at(event, "count"), 1);
  if (const Json& series = object_of(event, "series"); !series.empty()) {
    last = age(text_at(series, "lastObservedTime"), now);
    count = integer_at(series, "count");
  }
  const Json& from = object_of(event, "source");
  std::string source = text_or(from, "component", text_at(event, "reportingComponent").c_str());
  const std::string host = text_or(from, "host", text_at(event, "reportingInstance").c_str());
  if (!host.empty()) source += ", " + host;
  std::string message = text_at(event, "message");
  constexpr const char* kSpace = " \t\r\n\v\f";
  message.erase(0, std::min(message.find_first_not_of(kSpace), message.size()));
  message.erase(message.find_last_not_of(kSpace) + 1);
  return {last,
          text_at(event, "type"),
          text_at(event, "reason"),
          target,
          text_at(object, "fieldPath"),
          source,
          message,
          first,
          count,
          meta_text(event, "name")};
}

Cells claim_cells(const Json& claim, WallTime now) {
  const Json& spec = object_of(claim, "spec");
  const Json& status = object_of(claim, "status");
  const bool bound = !text_at(spec, "volumeName").empty();
  return {meta_text(claim, "name"),
          is_terminating(claim) ? "Terminating" : text_at(status, "phase"),
          text_at(spec, "volumeName"),
          bound ? text_or(object_of(status, "capacity"), "storage", "0") : "",
          bound ? access_modes(array_of(status, "accessModes")) : "",
          storage_class(claim),
          text_or(spec, "volumeAttributesClassName", "<unset>"),
          created(claim, now),
          text_or(spec, "volumeMode", "<unset>")};
}

Cells quota_cells(const Json& quota, WallTime now) {
  const Json& status = object_of(quota, "status");
  std::vector<std::string> requests, limits;
  for (const auto& [name, hard] : object_of(status, "hard").items()) {
    auto& column = name.rfind("limits.", 0) == 0 ? limits : requests;
    column.push_back(fmt::format("{}: {}/{}", name, text_or(object_of(status, "used"), name.c_str(), "0"),
                                 hard.is_string() ? hard.get<std::string>() : hard.dump()));
  }
  return {meta_text(quota, "name"), fmt::format("{}", fmt::join(requests, ", ")),
          fmt::format("{}", fmt::join(limits, ", ")), created(quota, now)};
}

Cells binding_cells(const Json& binding, WallTime now) {
  const Json& role = object_of(binding, "roleRef");
  std::vector<std::string> users, groups, accounts;
  for (const Json& subject : array_of(binding, "subjects")) {
    const std::string kind = text_at(subject, "kind"), name = text_at(subject, "name");
    if (kind == "User") users.push_back(name);
    if (kind == "Group") groups.push_back(name);
    if (kind == "ServiceAccount") accounts.push_back(text_at(subject, "namespace") + "/" + name);
  }
  const auto listed = [](const std::vector<std::string>& names) {
    return fmt::format("{}", fmt::join(names, ", "));
  };
  return {meta_text(binding, "name"),
          text_at(role, "kind") + "/" + text_at(role, "name"),
          created(binding, now),
          listed(users),
          listed(groups),
          listed(accounts)};
}

}  // namespace muster::local
