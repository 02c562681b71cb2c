#pragma once  // operator/shell/cluster_cache.h: live copies of our objects, their pods and their Services,
              // and which nodes are bad
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/platform/mutex.h"
#include "kube/informer.h"
#include "operator/shell/node_watch.h"

namespace muster::op {

// The controller owner of a child, from ownerReferences.
struct Owner {
  std::string kind, name, uid;
};
[[nodiscard]] std::optional<Owner> controller_of(const Json& object);

// Of an object that has the name of a child of `kind` `name`, and is not its: whether it is on its way out.
// An object that was deleted and applied again finds the children of the first one for as long as the garbage
// collector takes.
[[nodiscard]] bool leaves_soon(const Json& object, const std::string& kind, const std::string& name);
// Whether it was a child of an earlier one of `kind` `name` that was deleted without its children: it has the
// labels, and no controller, and stays.
[[nodiscard]] bool is_orphan(const Json& object, const std::string& kind, const std::string& name);

class ClusterCache {
 public:
  struct Options {
    std::vector<std::string> namespaces{};         // empty: all
    std::vector<NodeProblemRule> node_problems{};  // empty: nodes are not watched
    // Something about the object (`kind`, "namespace/name") has changed, it may be gone; `child`: about its
    // pods, a node of theirs or its Service. On an informer's thread; never blocks.
    std::function<void(const std::string& kind, const std::string& key, bool child)> on_change{};
    std::function<void(const std::string&)> on_problem{};
  };
  ClusterCache(kube::Client& client, Options options);

  void start();
  [[nodiscard]] bool wait_synced(Deadline deadline);
  [[nodiscard]] bool synced() const;

  [[nodiscard]] NodeProblems bad_nodes() const { return nodes_ ? nodes_->problems() : NodeProblems(); }

  // Copies of children of another kind, from now on: groups of pods, Workloads. Begins them unless they are
  // there.
  void follow(const kube::Resource& resource) MUSTER_EXCLUDES(mutex_);
  [[nodiscard]] bool follows(const kube::Resource& resource) const { return !of(resource).empty(); }
  [[nodiscard]] bool synced(const kube::Resource& resource) const;  // true when it is not followed

  [[nodiscard]] kube::Object get(const kube::Resource& resource, const std::string& key) const;
  [[nodiscard]] std::vector<kube::Object> list(const kube::Resource& resource) const;
  // Those in its namespace: an owner reference is what the author of a pod writes, and only who may create
  // pods beside an object may create pods of it.
  [[nodiscard]] std::vector<kube::Object> pods_of(const std::string& ns, const std::string& owner_uid) const;
  // Adds the pods that the API server has now. For a replica that begins to lead: another made pods, of which
  // a watch that is late has told nothing yet, though that of the objects has; they would count as lost.
  [[nodiscard]] Status catch_up();
  void look_again_at_node(const std::string& node) {
    if (nodes_) nodes_->look_again(node);
  }
  // Puts the pod in as the API server has it now; it is gone if another has its name.
  [[nodiscard]] Status look_again(const std::string& ns, const std::string& pod, const std::string& uid);
  // Puts the answer to one of our writes in, so that the next pass sees it.
  void observe_write(const kube::Resource& resource, Json object);
  // The API server says that "namespace/name" is not there with this uid: nor is it here from now on, though
  // the watch have said nothing yet.
  void observe_gone(const kube::Resource& resource, const std::string& key, const std::string& uid);

 private:
  std::unique_ptr<kube::Informer> informer_of(const kube::Resource& resource, const std::string& ns);
  // None is ever taken away.
  [[nodiscard]] std::vector<kube::Informer*> all() const MUSTER_EXCLUDES(mutex_);
  [[nodiscard]] std::vector<kube::Informer*> of(const kube::Resource& resource) const MUSTER_EXCLUDES(mutex_);
  void add(const kube::Resource& resource) MUSTER_REQUIRES(mutex_);
  // Of the pods that are on the node, or that keep away from it.
  void wake_owners(const std::string& node);

  kube::Client& client_;
  Options options_;
  mutable Mutex mutex_;
  std::vector<std::unique_ptr<kube::Informer>> informers_ MUSTER_GUARDED_BY(mutex_);
  std::unique_ptr<NodeWatch> nodes_;  // null: no problem of a node counts. Last: its thread uses the others
};

}  // namespace muster::op
