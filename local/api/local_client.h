#pragma once  // local/api/local_client.h: the Kubernetes API for callers in the API server's own process (the
              // node)
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"
#include "common/platform/mutex.h"
#include "local/api/object_store.h"

namespace muster::local {

class HttpApi;

struct EventRecord {  // one core/v1 Event; what one client says again is counted, not repeated
  Json regarding;     // the object: apiVersion, kind, metadata.{name,namespace,uid,resourceVersion} are read
  std::string field_path;       // "spec.containers{main}", may be ""
  std::string type = "Normal";  // or "Warning"
  std::string reason;
  std::string message;
  std::string component;  // "kubelet", "default-scheduler"
  std::string host;       // node name, may be ""
};

// Goes through the same validation, defaulting and version rules as HTTP, without the socket and the
// token. `resource` as in ObjectStore: "pods", "nodes", "leases.coordination.k8s.io". Thread-safe.
// Errors: kNotFound, kAlreadyExists, kAborted (409 conflict), kInvalidArgument (400, 422), message as users
// see it.
class LocalClient {
 public:
  LocalClient(HttpApi& api, ObjectStore& store);

  [[nodiscard]] Result<Json> get(std::string_view resource, std::string_view ns, std::string_view name) const;
  [[nodiscard]] std::vector<Json> list(std::string_view resource, std::string_view ns = "",
                                       std::string_view label_selector = "") const;
  [[nodiscard]] Result<Json> create(std::string_view resource, std::string_view ns, const Json& object);
  // Merge patches (RFC 7386); with metadata.resourceVersion in `patch` it is optimistic (kAborted).
  [[nodiscard]] Result<Json> patch(std::string_view resource, std::string_view ns, std::string_view name,
                                   const Json& merge_patch);
  [[nodiscard]] Result<Json> patch_status(std::string_view resource, std::string_view ns,
                                          std::string_view name, const Json& merge_patch);
  // As `kubectl delete`: finalizers, and for pods on a node the grace period, hold the object back.
  [[nodiscard]] Status remove(std::string_view resource, std::string_view ns, std::string_view name);

  // Gives a pod its node: spec.nodeName and the condition PodScheduled. kAborted if it has one already.
  [[nodiscard]] Status bind_pod(std::string_view ns, std::string_view name, std::string_view uid,
                                std::string_view node);
  // The pod's processes are gone: removes an object that carries deletionTimestamp (unless finalizers are
  // left: then they keep it). kNotFound if the pod is gone or has another uid.
  [[nodiscard]] Status finish_pod_deletion(std::string_view ns, std::string_view name, std::string_view uid);
  // A token of the pod's account, bound to the pod, as the kubelet asks for it (TokenRequest); good for a
  // year, as those that a cluster puts into pods. kNotFound: pod or account are gone.
  [[nodiscard]] Result<std::string> pod_token(std::string_view ns, std::string_view account,
                                              std::string_view pod, std::string_view uid) const;
  void record_event(const EventRecord& event);

  // All objects of now as kAdded, then every change. Survives compaction by listing again (then some
  // changes come folded; an object that went away meanwhile comes as kDeleted with its last known state).
  class Subscription {
   public:
    virtual ~Subscription() = default;
    // Waits up to `wait`; empty if nothing changed or after close().
    [[nodiscard]] virtual std::vector<Change> next(std::chrono::milliseconds wait) = 0;
    virtual void close() = 0;  // from any thread; ends the wait
  };
  [[nodiscard]] std::unique_ptr<Subscription> subscribe(std::string_view resource);

 private:
  HttpApi& api_;
  ObjectStore& store_;
  Mutex events_mutex_;
  std::map<std::string, std::string> recent_events_
      MUSTER_GUARDED_BY(events_mutex_);                                    // what an event says -> its name
  std::deque<std::string> recent_order_ MUSTER_GUARDED_BY(events_mutex_);  // its keys, the oldest first
};

}  // namespace muster::local
