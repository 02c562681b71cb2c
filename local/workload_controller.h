#pragma once  // local/workload_controller.h: runs Deployments and ReplicaSets
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/platform/mutex.h"
#include "local/api/local_client.h"

namespace muster::local {

// The loop around local/workloads. Each pass reads a namespace's objects as they are stored at that moment
// and takes one step for each, so that it never acts on news that are old.
class WorkloadController {
 public:
  explicit WorkloadController(LocalClient& client);
  ~WorkloadController();
  WorkloadController(const WorkloadController&) = delete;
  WorkloadController& operator=(const WorkloadController&) = delete;

  void stop();  // safe to call twice

 private:
  void follow(const std::string& resource, LocalClient::Subscription& changes);
  [[nodiscard]] bool concerns(const std::string& resource, const StoredObject& object) const
      MUSTER_REQUIRES(mutex_);
  void wake(const std::string& ns, std::chrono::milliseconds after);
  void run();
  void pass(const std::string& ns);
  void step_deployment(const Json& deployment);
  [[nodiscard]] bool create_replica_set(const Json& deployment, const Json& replica_set);
  void step_replica_set(const Json& replica_set);
  void create_pods(const Json& replica_set, std::int64_t count);
  void write_status(const char* resource, const Json& object, const Json& status);
  void say(const Json& about, const char* kind, bool good, const std::string& reason,
           const std::string& message);

  LocalClient& client_;
  std::map<std::string, std::string> failures_;  // uid of a ReplicaSet -> why no pod could be created
  mutable Mutex mutex_;
  Condition changed_;
  std::set<std::string> active_ MUSTER_GUARDED_BY(mutex_);  // namespaces that had a Deployment or ReplicaSet
  std::map<std::string, Instant> due_
      MUSTER_GUARDED_BY(mutex_);  // namespaces that are to be looked at, and when
  bool stopped_ MUSTER_GUARDED_BY(mutex_) = false;
  std::vector<std::unique_ptr<LocalClient::Subscription>> subscriptions_;
  std::vector<std::thread> threads_;
};

}  // namespace muster::local
