#pragma once  // local/runtime/node.h: runs the pods that are bound to this node
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "local/runtime/addresses.h"
#include "local/runtime/log_store.h"
#include "local/runtime/node_api.h"
#include "local/runtime/pod_runner.h"
#include "local/runtime/reactor.h"

namespace muster::local {

// One thread for all pods (the reactor), one that waits for changes of the API. `api` and `logs` outlive it.
class Node {
 public:
  // kNotFound: muster-init is missing (names it and the remedy).
  [[nodiscard]] static Result<std::unique_ptr<Node>> start(NodeApi& api, LogStore& logs, NodeOptions options);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Ends every pod: SIGTERM, SIGKILL after `grace`, and removes their files. Safe to call twice.
  // kDeadlineExceeded names pods of which something is left.
  Status stop(std::chrono::milliseconds grace, Deadline deadline);

 private:
  Node(NodeApi& api, LogStore& logs, NodeOptions options);
  void follow();
  void take(const PodChange& change);
  void remove(const std::string& uid);
  void note_idle();

  NodeApi& api_;
  LogStore& logs_;
  const NodeOptions options_;
  Reactor reactor_;
  AddressPool addresses_;
  std::map<std::string, std::unique_ptr<PodRunner>> pods_;  // by uid; of the reactor's thread
  bool shutting_down_ = false;                              // likewise
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;  // guards idle_
  std::condition_variable idle_changed_;
  bool idle_ = false;
  std::thread reactor_thread_;
  std::thread follower_;
};

}  // namespace muster::local
