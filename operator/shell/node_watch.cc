// operator/shell/node_watch.cc: an informer of nodes, indexed by whether they are bad
#include "operator/shell/node_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/json/access.h"

namespace muster::op {
namespace {

constexpr int kPageSize = 100;  // a Node is of some 15 KiB, mostly names of images
constexpr const char* kBad = "bad";
constexpr std::chrono::milliseconds kLook{50};

}  // namespace

NodeWatch::NodeWatch(kube::Client& client, Options options)
    : client_(client), options_(std::move(options)), informer_(client, kube::kNodes, informer_options()) {}

kube::Informer::Options NodeWatch::informer_options() {
  kube::Informer::Options options;
  options.page_size = kPageSize;
  options.project = [this](Json& node) { project_node(node, options_.rules); };
  options.index = [this](const Json& node) {
    return problem_of(node, options_.rules).any() ? kBad : std::string();
  };
  options.on_change = [this](const kube::Object& node, bool deleted) { changed(*node, deleted); };
  options.on_error = [this](const Error& error) { failed(error); };
  options.watcher.seed =
      static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  return options;
}

bool NodeWatch::wait_settled(Deadline deadline) {
  while (!settled()) {
    const Instant now = std::chrono::steady_clock::now();
    if (now >= deadline) return false;
    static_cast<void>(informer_.wait_synced(std::min(deadline, now + kLook)));  // which no failure ends
  }
  return true;
}

NodeProblems NodeWatch::problems() {
  NodeProblems bad;
  if (refused_) return bad;
  for (const kube::Object& node : informer_.store().by_index(kBad))
    bad.emplace(meta_text(*node, "name"), problem_of(*node, options_.rules));
  while (bad.size() > kBadNodesMax) bad.erase(std::prev(bad.end()));
  return bad;
}

void NodeWatch::look_again(const std::string& node) {
  auto found = client_.get(kube::kNodes, "", node);
  if (found) {
    informer_.observe_write(std::move(*found));
  } else if (const auto known = informer_.store().get(node);
             known != nullptr && found.error().code == Code::kNotFound) {
    informer_.store().erase(*known);
  }
}

void NodeWatch::changed(const Json& node, bool deleted) {
  refused_ = false;
  const std::string name = meta_text(node, "name");
  NodeProblem problem = deleted ? NodeProblem{} : problem_of(node, options_.rules);
  const auto known = told_.find(name);
  if (known == told_.end() && !problem.any()) return;
  const bool same = known != told_.end() && known->second.taints == problem.taints &&
                    known->second.condition.empty() == problem.condition.empty();
  if (same) return;
  const bool bad = problem.any();
  if (bad) {
    told_[name] = std::move(problem);
  } else {
    told_.erase(known);
  }
  if (bad && told_.size() == kBadNodesMax + 1)
    options_.on_problem(
        fmt::format("more than {} nodes have a problem that --node-problems names: the first by name count",
                    kBadNodesMax));
  options_.on_change(name);
}

void NodeWatch::failed(const Error& error) {
  failed_ = true;
  if (error.code != Code::kPermissionDenied) return options_.on_problem("nodes: " + error.message);
  if (refused_.exchange(true)) return;
  options_.on_problem(
      fmt::format("nodes: {}; broken nodes are not noticed: grant list and watch on nodes, or do without by "
                  "--node-problems=none",
                  error.message));
  for (const auto& [node, problem] : std::exchange(told_, {})) options_.on_change(node);
}

}  // namespace muster::op
