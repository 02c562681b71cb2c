// local/scheduling.cc: requests, selectors and affinity against one node
#include "local/scheduling.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "local/runtime/json_access.h"
#include "local/runtime/quantity.h"

namespace muster::local {
namespace {

constexpr std::string_view kSelectorMismatch = "node(s) didn't match Pod's node affinity/selector";

bool ended(const Json& pod) {
  const std::string phase = text(member(pod, "status", "phase"));
  return phase == "Succeeded" || phase == "Failed";
}

bool matches(const Json& expression, const Json& labels) {
  const std::string op = text(member(expression, "operator"));
  const Json& label = member(labels, text(member(expression, "key")));
  const Json& values = member(expression, "values");
  const bool among = label.is_string() && std::ranges::find(values, label) != values.end();
  if (op == "In") return among;
  if (op == "NotIn") return !among;
  if (op == "Exists") return label.is_string();
  if (op == "DoesNotExist") return !label.is_string();
  const std::string limit = values.is_array() && !values.empty() ? text(values[0]) : "";
  const auto number = [](const std::string& digits) { return std::strtoll(digits.c_str(), nullptr, 10); };
  if (!label.is_string() || limit.empty()) return false;
  return op == "Gt" ? number(text(label)) > number(limit) : op == "Lt" && number(text(label)) < number(limit);
}

bool selected(const Json& pod, const Json& node) {
  const Json& labels = member(node, "metadata", "labels");
  for (const auto& [key, value] : member(pod, "spec", "nodeSelector").items()) {
    if (member(labels, key) != value) return false;
  }
  const Json& terms = member(pod, "spec", "affinity", "nodeAffinity",
                             "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms");
  if (!terms.is_array()) return true;
  return std::ranges::any_of(terms, [&](const Json& term) {
    const Json fields{{"metadata.name", name_of(node)}};
    const Json& by_label = member(term, "matchExpressions");
    const Json& by_field = member(term, "matchFields");
    return (!by_label.empty() || !by_field.empty()) &&
           std::ranges::all_of(by_label,
                               [&](const Json& expression) { return matches(expression, labels); }) &&
           std::ranges::all_of(by_field, [&](const Json& expression) { return matches(expression, fields); });
  });
}

std::set<std::string> requested(const Json& pod) {
  std::set<std::string> out;
  for (const char* group : {"containers", "initContainers"}) {
    for (const Json& container : member(pod, "spec", group)) {
      for (const char* kind : {"requests", "limits"}) {
        for (const auto& [name, quantity] : member(container, "resources", kind).items()) out.insert(name);
      }
    }
  }
  return out;
}

}  // namespace

bool wants_scheduling(const Json& pod) {
  return text(member(pod, "spec", "nodeName")).empty() && !ended(pod) &&
         !member(pod, "metadata", "deletionTimestamp").is_string() &&
         member(pod, "spec", "schedulingGates").empty() &&
         text(member(pod, "spec", "schedulerName"), "default-scheduler") == "default-scheduler";
}

bool holds_resources(const Json& pod, const std::string& node) {
  return text(member(pod, "spec", "nodeName")) == node && !ended(pod);
}

void take_resources(const Json& pod, std::map<std::string, std::int64_t>& free) {
  for (auto& [name, left] : free) left -= name == "pods" ? 1000 : pod_request_milli(pod, name);
}

std::map<std::string, std::int64_t> free_resources(const Json& node, const std::vector<Json>& pods) {
  std::map<std::string, std::int64_t> out;
  for (const auto& [name, quantity] : member(node, "status", "allocatable").items())
    out[name] = quantity_milli(quantity);
  for (const Json& pod : pods) {
    if (holds_resources(pod, name_of(node))) take_resources(pod, out);
  }
  return out;
}

std::vector<std::string> obstacles(const Json& pod, const Json& node,
                                   const std::map<std::string, std::int64_t>& free) {
  if (boolean(member(node, "spec", "unschedulable"))) return {"node(s) were unschedulable"};
  if (!selected(pod, node)) return {std::string(kSelectorMismatch)};
  std::vector<std::string> out;
  if (const auto pods = free.find("pods"); pods != free.end() && pods->second < 1000)
    out.emplace_back("Too many pods");
  for (const std::string& name : requested(pod)) {
    const std::int64_t wanted = pod_request_milli(pod, name);
    const auto left = free.find(name);
    if (wanted > 0 && (left == free.end() || wanted > left->second)) out.push_back("Insufficient " + name);
  }
  return out;
}

std::string unschedulable_message(const std::vector<std::string>& obstacles) {
  std::vector<std::string> counted;
  bool resources = false;
  for (const std::string& obstacle : obstacles) {
    counted.push_back("1 " + obstacle);
    resources = resources || obstacle.starts_with("Insufficient") || obstacle == "Too many pods";
  }
  return fmt::format("0/1 nodes are available: {}. preemption: 0/1 nodes are available: 1 {}.",
                     fmt::join(counted, ", "),
                     resources ? "No preemption victims found for incoming pod"
                               : "Preemption is not helpful for scheduling");
}

}  // namespace muster::local
