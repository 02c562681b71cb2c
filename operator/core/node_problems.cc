// operator/core/node_problems.cc: what is wrong with a node, whom it disrupts, and how new pods keep away
#include "operator/core/node_problems.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "common/base/text.h"
#include "common/json/access.h"
#include "operator/core/observed.h"

namespace muster::op {
namespace {

constexpr std::size_t kWordsMax = 256;  // of what a condition says

// Hardware or kernel that is bad until somebody mends it. Left out on purpose: what comes and goes by itself
// (FrequentKubeletRestart, heat, power, a flapping link), and what a program can bring about (XIDErrors of
// AKS and KernelReady of EKS, by its bugs or its number of processes): it would go from node to node,
// uncounted.
constexpr std::array kDefaultRules = {
    // node-problem-detector
    "KernelDeadlock", "ReadonlyFilesystem", "XfsShutdown", "CperHardwareErrorFatal",
    // NVSentinel, which sets them for fatal events only; the taints are those of its guide
    "GpuMemWatch", "GpuPcieWatch", "GpuInforomWatch", "GpuSmWatch", "GpuNvlinkWatch", "GpuMcuWatch",
    "GpuPmuWatch", "GpuDriverWatch", "NVSwitchFatalError", "NVSwitchDown", "SysLogsXIDError",
    "SysLogsSXIDError", "SysLogsGPUFallenOff", "taint:nvidia.com/gpu-xid-error",
    "taint:nvidia.com/gpu-nvlink-error", "taint:nvidia.com/syslog-xid-error", "taint:nvidia.com/gpu-error",
    // the node agents of EKS, AKS and Nebius
    "AcceleratedHardwareReady=False", "GPUMissing", "NVLinkStatusInactive", "NebiusGPUError",
    "NebiusBootDiskIOError"};

constexpr std::string_view kTaint = "taint:";
constexpr const char* kNodeUnhealthy = "NodeUnhealthy";

// The cluster's own: the kubelet, or a controller with the toleration's patience, evicts for them.
bool is_of_the_cluster(const NodeProblemRule& rule) {
  if (rule.is_taint) return rule.name.find("node.kubernetes.io/") != std::string::npos;
  constexpr std::array kOwn = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure",
                               "NetworkUnavailable"};
  return std::ranges::find(kOwn, rule.name) != kOwn.end();
}

// As the API server takes names of conditions and keys of taints: "Name" or "domain/name".
bool is_qualified(std::string_view name) {
  const auto letter = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '/';
  };
  return !name.empty() && name.size() <= 317 && std::ranges::count(name, '/') <= 1 &&
         std::isalnum(static_cast<unsigned char>(name.front())) != 0 &&
         std::isalnum(static_cast<unsigned char>(name.back())) != 0 && std::ranges::all_of(name, letter);
}

Result<NodeProblemRule> rule_of(std::string_view word) {
  NodeProblemRule rule;
  rule.is_taint = word.starts_with(kTaint);
  if (rule.is_taint) word.remove_prefix(kTaint.size());
  const auto equals = rule.is_taint ? std::string_view::npos : word.find('=');
  rule.name = std::string(word.substr(0, equals));
  if (equals != std::string_view::npos) rule.status = std::string(word.substr(equals + 1));
  if (!is_qualified(rule.name) ||
      (rule.status != "True" && rule.status != "False" && rule.status != "Unknown"))
    return invalid_argument(
        fmt::format("--node-problems: {} is none; write a condition's type (KernelDeadlock), a type and the "
                    "status that is bad (AcceleratedHardwareReady=False) or taint:KEY",
                    word));
  if (is_of_the_cluster(rule))
    return invalid_argument(fmt::format(
        "--node-problems: {} is left to the cluster, which evicts pods for it in its own time; take it out",
        word));
  return rule;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find(',', from), text.size());
    parts.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  return parts;
}

const Json& list_at(const Json& object, const char* where, const char* name) {
  static const Json kNone = Json::array();
  const Json& list = member(object, where, name);
  return list.is_array() ? list : kNone;
}

bool fits(const NodeProblemRule& rule, const Json& condition) {
  return !rule.is_taint && text(member(condition, "type")) == rule.name &&
         text(member(condition, "status")) == rule.status;
}

// PreferNoSchedule is a wish: the node works.
bool fits_taint(const NodeProblemRule& rule, const Json& taint) {
  return rule.is_taint && text(member(taint, "key")) == rule.name &&
         text(member(taint, "effect")) != "PreferNoSchedule";
}

std::string words_of(const NodeProblemRule& rule, const Json& condition) {
  std::string words = rule.status == "True" ? rule.name : rule.name + "=" + rule.status;
  std::string why = text(member(condition, "message"));
  if (why.empty()) why = text(member(condition, "reason"));
  if (!why.empty()) words += ": " + clip(printable(why), kWordsMax);
  return words;
}

bool tolerates(const Json& toleration, const Taint& taint) {
  const std::string effect = text(member(toleration, "effect"));
  if (!effect.empty() && effect != taint.effect) return false;
  const std::string key = text(member(toleration, "key"));
  const std::string op = text(member(toleration, "operator"), "Equal");
  if (key.empty()) return op == "Exists";
  if (key != taint.key) return false;
  return op == "Exists" || (op == "Equal" && text(member(toleration, "value")) == taint.value);
}

// What of it a pod with this spec does not tolerate; empty: nothing.
std::string trouble_for(const NodeProblem& problem, const Json& spec) {
  if (!problem.condition.empty()) return problem.condition;
  const Json& tolerations = member(spec, "tolerations");
  for (const Taint& taint : problem.taints) {
    const bool tolerated = tolerations.is_array() && std::ranges::any_of(tolerations, [&](const Json& each) {
                             return tolerates(each, taint);
                           });
    if (!tolerated)
      return fmt::format("taint {}{}{}:{}", taint.key, taint.value.empty() ? "" : "=", taint.value,
                         taint.effect);
  }
  return "";
}

bool selects_something(const Json& term) {
  for (const char* list : {"matchExpressions", "matchFields"})
    if (const Json& wants = member(term, list); wants.is_array() && !wants.empty()) return true;
  return false;
}

Json& object_in(Json& parent, const char* name) {
  if (!parent[name].is_object()) parent[name] = Json::object();
  return parent[name];
}

// Into every term of the user's: they are alternatives. One that is empty selects no node, and goes on so.
void require_other_nodes(Json& spec, const std::vector<std::string>& nodes) {
  Json& required = object_in(object_in(object_in(spec, "affinity"), "nodeAffinity"),
                             "requiredDuringSchedulingIgnoredDuringExecution");
  Json& terms = required["nodeSelectorTerms"];
  const bool of_the_user = terms.is_array();
  if (!of_the_user) terms = Json::array({Json::object()});
  for (Json& term : terms) {
    if (of_the_user && !selects_something(term)) continue;
    Json& fields = term["matchFields"];
    if (!fields.is_array()) fields = Json::array();
    for (const std::string& node : nodes)  // one each: the API takes no more
      fields.push_back({{"key", "metadata.name"}, {"operator", "NotIn"}, {"values", Json::array({node})}});
  }
}

}  // namespace

Result<std::vector<NodeProblemRule>> parse_node_problems(const std::string& words) {
  std::vector<NodeProblemRule> rules;
  if (words == "none") return rules;
  for (const std::string& word : split(words)) {
    if (word == "default") {
      for (const char* own : kDefaultRules) {
        MUSTER_ASSIGN(NodeProblemRule rule, rule_of(own));
        rules.push_back(std::move(rule));
      }
      continue;
    }
    MUSTER_ASSIGN(NodeProblemRule rule, rule_of(word));
    rules.push_back(std::move(rule));
  }
  return rules;
}

NodeProblem problem_of(const Json& node, const std::vector<NodeProblemRule>& rules) {
  NodeProblem problem;
  for (const NodeProblemRule& rule : rules) {
    for (const Json& condition : list_at(node, "status", "conditions"))
      if (problem.condition.empty() && fits(rule, condition)) problem.condition = words_of(rule, condition);
    for (const Json& taint : list_at(node, "spec", "taints"))
      if (fits_taint(rule, taint))
        problem.taints.push_back(
            {text(member(taint, "key")), text(member(taint, "value")), text(member(taint, "effect"))});
  }
  return problem;
}

void project_node(Json& node, const std::vector<NodeProblemRule>& rules) {
  Json kept{{"metadata", Json::object()}};
  for (const char* field : {"name", "uid", "resourceVersion"})
    if (std::string value = meta_text(node, field); !value.empty())
      kept["metadata"][field] = std::move(value);
  const auto matters = [&rules](const Json& item, auto fitting) {
    return std::ranges::any_of(rules, [&](const NodeProblemRule& rule) { return fitting(rule, item); });
  };
  for (const Json& condition : list_at(node, "status", "conditions"))
    if (matters(condition, fits)) kept["status"]["conditions"].push_back(condition);
  for (const Json& taint : list_at(node, "spec", "taints"))
    if (matters(taint, fits_taint)) kept["spec"]["taints"].push_back(taint);
  node = std::move(kept);
}

bool is_disrupted_by_its_node(const Pod& pod) {
  return pod.on_bad_node && pod.disrupted && pod.reason == kNodeUnhealthy;
}

void judge_node(Pod& pod, const Json& json, const NodeProblems& problems) {
  if (pod.node.empty() || pod.phase == PodPhase::kSucceeded) return;
  const auto found = problems.find(pod.node);
  if (found == problems.end()) return;
  const std::string trouble = trouble_for(found->second, member(json, "spec"));
  if (trouble.empty()) return;
  pod.on_bad_node = true;
  if (pod.disrupted || pod.deletion) return;
  pod.disrupted = true;
  pod.reason = kNodeUnhealthy;
  pod.message = fmt::format("node {} has {}", pod.node, trouble);
}

void avoid_bad_nodes(const NodeProblems& problems, Json& manifest) {
  if (problems.empty()) return;
  Json& spec = object_in(manifest, "spec");
  std::vector<std::string> nodes;
  for (const auto& [node, problem] : problems)
    if (!trouble_for(problem, spec).empty()) nodes.push_back(node);
  if (nodes.empty()) return;
  require_other_nodes(spec, nodes);
  object_in(object_in(manifest, "metadata"), "annotations")[kAvoidsAnnotation] =
      fmt::format("{}", fmt::join(nodes, ","));
}

bool avoids_in_vain(const Pod& pod, const NodeProblems& problems) {
  if (!pod.node.empty() || pod.phase != PodPhase::kPending || pod.deletion) return false;
  return std::ranges::any_of(split(pod.avoids),
                             [&](const std::string& node) { return !problems.contains(node); });
}

std::string words_on_avoided(const Pod& pod, const NodeProblems& problems) {
  std::string words;
  int others = 0;
  for (const std::string& node : split(pod.avoids)) {
    const auto found = problems.find(node);
    if (found == problems.end()) continue;
    const NodeProblem& problem = found->second;
    if (!words.empty()) {
      ++others;
    } else {
      words =
          fmt::format("it avoids {}, which has {}", node,
                      problem.condition.empty() ? "taint " + problem.taints.front().key : problem.condition);
    }
  }
  return others == 0 ? words : fmt::format("{}, and {} other bad nodes", words, others);
}

}  // namespace muster::op
