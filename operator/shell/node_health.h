#pragma once  // operator/shell/node_health.h: what the control plane says of the nodes of pods that do not go
              // away
#include <map>
#include <string>

#include "common/base/clock.h"
#include "common/platform/mutex.h"
#include "kube/client.h"

namespace muster::op {

// Thread-safe. Asks for one node at a time, when it matters: pods are deleted by force on its word, so that
// what a watch told some time ago (node_watch.h) is not enough.
class NodeHealth {
 public:
  explicit NodeHealth(kube::Client& client) : client_(client) {}

  // True when the node is tainted unreachable or out of service, or is gone. False when that is not known;
  // without the right to get nodes it never is, which the log says once. An answer counts for 5 s.
  [[nodiscard]] bool lost(const std::string& node) MUSTER_EXCLUDES(mutex_);

 private:
  struct Answer {
    bool lost = false;
    Instant until;
  };
  [[nodiscard]] bool ask(const std::string& node) MUSTER_EXCLUDES(mutex_);

  kube::Client& client_;
  Mutex mutex_;
  std::map<std::string, Answer> answers_ MUSTER_GUARDED_BY(mutex_);
  bool told_forbidden_ MUSTER_GUARDED_BY(mutex_) = false;
};

}  // namespace muster::op
