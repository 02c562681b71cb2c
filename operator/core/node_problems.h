#pragma once  // operator/core/node_problems.h: nodes that are broken, though nobody evicts their pods
#include <map>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::op {

struct Pod;

// One thing that makes a node a bad one: a condition with a status, or a taint by its key.
struct NodeProblemRule {
  bool is_taint = false;
  std::string name;
  std::string status = "True";  // of the condition
};
// From the words of --node-problems, separated by commas: "KernelDeadlock", "AcceleratedHardwareReady=False",
// "taint:nvidia.com/gpu-error", "default" for the operator's own list. "none" alone: no rules.
[[nodiscard]] Result<std::vector<NodeProblemRule>> parse_node_problems(const std::string& words);

struct Taint {
  std::string key, value, effect;
  friend bool operator==(const Taint&, const Taint&) = default;
};
struct NodeProblem {            // what is wrong with one node
  std::string condition{};      // "KernelDeadlock: task docker:7 blocked"; empty: it is only tainted
  std::vector<Taint> taints{};  // that count, and that a pod may tolerate
  [[nodiscard]] bool any() const { return !condition.empty() || !taints.empty(); }
};
using NodeProblems = std::map<std::string, NodeProblem>;  // by node; those without one are not in it

// As many nodes are known as bad at a time, the first by name: each is in the affinity of every pod.
inline constexpr std::size_t kBadNodesMax = 100;

[[nodiscard]] NodeProblem problem_of(const Json& node, const std::vector<NodeProblemRule>& rules);
// Drops all of a Node but its identity and what problem_of reads of it.
void project_node(Json& node, const std::vector<NodeProblemRule>& rules);

// A pod whose node has a problem that it does not tolerate is disrupted by it. `json`: the pod.
void judge_node(Pod& pod, const Json& json, const NodeProblems& problems);
[[nodiscard]] bool is_disrupted_by_its_node(const Pod& pod);

// Annotation of a pod that keeps away from bad nodes by its affinity: their names, with commas.
inline constexpr const char* kAvoidsAnnotation = "muster.dev/avoids";
// Keeps a pod that is about to be made away from the bad nodes, unless it tolerates what is wrong there: so
// that what is replaced, uncounted, does not come back to the same node.
void avoid_bad_nodes(const NodeProblems& problems, Json& manifest);
// An affinity cannot be changed: true of a pod without a node that keeps away from one that is well again, or
// gone. It must be made anew, or it may wait for ever.
[[nodiscard]] bool avoids_in_vain(const Pod& pod, const NodeProblems& problems);
// "it avoids node-1, which has KernelDeadlock: ..., and 2 other nodes"; empty: none that is bad now.
[[nodiscard]] std::string words_on_avoided(const Pod& pod, const NodeProblems& problems);

}  // namespace muster::op
