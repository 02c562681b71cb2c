#pragma once  // local/runtime/node_api.h: what the node needs of the Kubernetes API, and no more
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::local {

struct ObjectChange {
  bool deleted = false;  // the object is gone: of a pod, whatever runs ends at once
  Json object;           // as of now, or its last state
};

struct NodeEvent {
  Json pod;                // apiVersion, kind and metadata are read
  std::string field_path;  // "spec.containers{main}", or ""
  std::string type;        // "Normal", "Warning"
  std::string reason;
  std::string message;
};

// Implemented over the API server's LocalClient (local/node_adapter.h) and by
// local/tests/support/fake_node_api.h. Thread-safe; calls take microseconds, but for changes().
class NodeApi {
 public:
  virtual ~NodeApi() = default;
  // Every object at first, then what changed, of all nodes and namespaces; waits at most `wait`. `resource`:
  // pods, services. Called by one thread for each.
  [[nodiscard]] virtual std::vector<ObjectChange> changes(std::string_view resource,
                                                          std::chrono::milliseconds wait) = 0;
  // `resource`: configmaps, secrets, services, persistentvolumeclaims. kNotFound: `configmaps "conf" not
  // found`.
  [[nodiscard]] virtual Result<Json> get(std::string_view resource, std::string_view ns,
                                         std::string_view name) = 0;
  [[nodiscard]] virtual std::vector<Json> services(std::string_view ns) = 0;
  // A token of the pod's service account, good as long as both are there. kNotFound: one of them is gone.
  [[nodiscard]] virtual Result<std::string> account_token(const Json& pod) = 0;
  // Merge-patches the status of a pod, or of a claim. kNotFound: it is gone, or another object has its name
  // now.
  [[nodiscard]] virtual Status write_status(std::string_view resource, const Json& object,
                                            const Json& status) = 0;
  // Nothing of the pod runs any more: its object, which carries a deletionTimestamp, may go.
  [[nodiscard]] virtual Status finish_deletion(const Json& pod) = 0;
  virtual void record(const NodeEvent& event) = 0;
};

}  // namespace muster::local
