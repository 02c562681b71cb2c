#pragma once  // local/runtime/node.h: runs the pods that are bound to this node
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/platform/mutex.h"
#include "local/runtime/addresses.h"
#include "local/runtime/claim_locks.h"
#include "local/runtime/gpus.h"
#include "local/runtime/log_store.h"
#include "local/runtime/node_api.h"
#include "local/runtime/pod_names.h"
#include "local/runtime/pod_runner.h"
#include "local/runtime/reactor.h"

namespace muster::local {

// One thread for all pods (the reactor), two that wait for changes of the API. `api` and `logs` outlive it.
class Node {
 public:
  // kNotFound: muster-init is missing (names it and the remedy). kUnavailable, kResourceExhausted: no address
  // for a pod.
  [[nodiscard]] static Result<std::unique_ptr<Node>> start(NodeApi& api, LogStore& logs, NodeOptions options);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Ends every pod: SIGTERM, SIGKILL after `grace`, and removes their files. Safe to call twice.
  // kDeadlineExceeded names pods of which something is left.
  Status stop(std::chrono::milliseconds grace, Deadline deadline);

 private:
  Node(NodeApi& api, LogStore& logs, NodeOptions options);
  void follow(std::string_view resource);
  void take_changes();
  void take_service(const ObjectChange& change);
  void name_pod(const ObjectChange& change);
  void take_pod(const ObjectChange& change);
  void remove(const std::string& uid);
  void note_idle();

  NodeApi& api_;
  LogStore& logs_;
  const NodeOptions options_;
  Reactor reactor_;
  // Of the reactor's thread:
  AddressPool addresses_;
  PodNames names_;
  GpuPool gpus_;
  ClaimLocks claims_;
  std::map<std::string, std::unique_ptr<PodRunner>> pods_;  // by uid
  bool shutting_down_ = false;
  Mutex changes_mutex_;
  std::vector<ObjectChange> pod_changes_ MUSTER_GUARDED_BY(changes_mutex_);
  std::vector<ObjectChange> service_changes_ MUSTER_GUARDED_BY(changes_mutex_);
  std::atomic<bool> stopped_{false};
  Mutex mutex_;
  Condition idle_changed_;
  bool idle_ MUSTER_GUARDED_BY(mutex_) = false;
  std::thread reactor_thread_;
  std::vector<std::thread> followers_;
};

}  // namespace muster::local
