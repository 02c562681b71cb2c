#pragma once  // operator/shell/applier.h: carries out a Decision: writes in order, stops at the first that
              // fails
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kube/client.h"
#include "kube/events.h"
#include "operator/control/agent_client.h"
#include "operator/control/issuer.h"
#include "operator/core/action.h"
#include "operator/core/observed.h"
#include "operator/shell/cluster_cache.h"

namespace muster::op {

// The object that a decision is about.
struct Subject {
  kube::Resource resource;
  std::string ns, name, uid;
  std::int64_t generation = 0;
};

struct Applied {
  bool status_written = false;
  std::int64_t pods_created = 0;
  std::set<std::string> warned;             // what the server said of the children, as events
  std::map<std::string, bool> credentials;  // Secrets with keys that are there now; true: they were already
  std::optional<Obstacle> obstacle;         // that a create met: core is to judge it at once
  bool look_soon = false;  // an Agent is being given its assignment, or a pod to be deleted was gone already
};

class Applier {
 public:
  struct Options {
    std::function<void(const Subject&, const Json& before, const Json& after)> on_status;  // for counters
  };
  Applier(kube::Client& client, ClusterCache& cache, AgentClient& agents, kube::EventRecorder& events,
          const Issuer& issuer, Options options)
      : client_(client),
        cache_(cache),
        agents_(agents),
        events_(events),
        issuer_(issuer),
        options_(std::move(options)) {}

  // What happened up to the first failure is in `applied`, whatever is returned. Errors: kAborted: the
  // snapshot was stale. kNotFound: the object is gone. kPermissionDenied, kInvalidArgument: the server will
  // not take it, ever.
  [[nodiscard]] Status apply(const Subject& subject, const std::vector<Action>& actions, Applied& applied);

 private:
  struct Pass;
  Status operator()(Pass& pass, const CreateService& action);
  Status operator()(Pass& pass, const CreateCredentials& action);
  Status operator()(Pass& pass, const CreatePod& action);
  Status operator()(Pass& pass, const CheckPod& action);
  Status operator()(Pass& pass, const DeletePod& action);
  Status operator()(Pass& pass, const ConfigurePod& action);
  Status operator()(Pass& pass, const PatchStatus& action);
  Status operator()(Pass& pass, const DeleteObject& action);
  Status operator()(Pass& pass, const EmitEvent& action);
  Status create(Pass& pass, const kube::Resource& resource, const Json& manifest,
                const kube::CreateOptions& options, const std::string& part);
  void tell(Pass& pass, const std::vector<std::string>& warnings, const std::string& part);
  void emit(const Subject& subject, const std::string& type, const std::string& reason,
            const std::string& message);

  kube::Client& client_;
  ClusterCache& cache_;
  AgentClient& agents_;
  kube::EventRecorder& events_;
  const Issuer& issuer_;
  Options options_;
};

}  // namespace muster::op
