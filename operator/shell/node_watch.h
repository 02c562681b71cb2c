#pragma once  // operator/shell/node_watch.h: which nodes are bad now, from a watch of all of them
#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kube/informer.h"
#include "operator/core/node_problems.h"

namespace muster::op {

// Keeps of a Node its identity, and what is wrong with it. A kubelet writes its Node every five minutes,
// which wakes nobody unless that is another problem. Without the right to list and watch nodes none is bad.
class NodeWatch {
 public:
  struct Options {
    std::vector<NodeProblemRule> rules;
    // A node has got a problem, or has it no longer. On the informer's thread; never blocks.
    std::function<void(const std::string& node)> on_change;
    std::function<void(const std::string&)> on_problem;  // one line for the log
  };
  NodeWatch(kube::Client& client, Options options);

  void start() { informer_.start(); }
  // The first list is in, or cannot be had; nothing waits for it any longer.
  [[nodiscard]] bool settled() const { return failed_ || informer_.synced(); }
  [[nodiscard]] bool wait_settled(Deadline deadline);
  [[nodiscard]] NodeProblems problems();  // thread-safe
  // Puts the node in as the API server has it now. If it cannot be had, what the watch has told stays.
  void look_again(const std::string& node);

 private:
  kube::Informer::Options informer_options();
  void changed(const Json& node, bool deleted);
  void failed(const Error& error);

  kube::Client& client_;
  const Options options_;
  std::map<std::string, NodeProblem> told_;  // of the informer's thread
  std::atomic<bool> failed_{false};          // at least once
  std::atomic<bool> refused_{false};         // by the last answer
  kube::Informer informer_;                  // last: its thread uses the others
};

}  // namespace muster::op
