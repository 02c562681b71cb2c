#pragma once  // operator/shell/children.h: creates the children of an object, side by side, and says what is
              // in the way
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "kube/client.h"
#include "kube/events.h"
#include "operator/control/issuer.h"
#include "operator/core/action.h"
#include "operator/core/observed.h"
#include "operator/shell/cluster_cache.h"
#include "operator/shell/lanes.h"

namespace muster::op {

// The object that a decision is about.
struct Subject {
  kube::Resource resource;
  std::string ns, name, uid;
  std::int64_t generation = 0;
};

struct ApplyResult {
  bool status_written = false;
  std::string unkept{};                   // a field of that write which the API server has not kept
  std::set<std::string> status_fields{};  // that it wrote: "status.podAttempts"
  std::int64_t pods_created = 0;
  std::set<std::string> warned;             // what the server said of the children, as events
  std::map<std::string, bool> credentials;  // Secrets with keys that are there now; true: they were already
  std::optional<Obstacle> obstacle;         // that a create met: core is to judge it at once
  std::optional<std::pair<ApiKind, Error>> refused;  // a kind of others that cannot be created at all
  bool look_soon = false;  // an Agent is being given its assignment, or a pod to be deleted was gone already
};

[[nodiscard]] kube::Resource resource_of(const ApiKind& api);
void emit(kube::EventRecorder& events, const Subject& subject, const EmitEvent& event);

class Children {
 public:
  Children(kube::Client& client, ClusterCache& cache, kube::EventRecorder& events, const Issuer& issuer,
           Lanes& lanes)
      : client_(client), cache_(cache), events_(events), issuer_(issuer), lanes_(lanes) {}

  [[nodiscard]] static bool is_create(const Action& action);

  // Carries out creates, all but the pods first. Of the pods a few at once, then twice as many, as long as
  // all go well: a quota that is used up is not asked a thousand times. What happened is in `applied`,
  // whatever is returned: the first failure.
  [[nodiscard]] Status create(const Subject& subject, std::span<const Action> creates, ApplyResult& applied);
  // CheckPod: an error when there can be no such pod.
  [[nodiscard]] Status check(const Subject& subject, const CheckPod& action, ApplyResult& applied);

 private:
  struct Outcome {  // of one create
    Status status;
    std::optional<Obstacle> obstacle{};
    std::vector<std::string> warnings{};
    std::optional<std::pair<std::string, bool>> credentials{};
    std::optional<std::pair<ApiKind, Error>> refused{};
  };
  Status create_batch(const Subject& subject, std::span<const Action* const> creates, ApplyResult& applied);
  Outcome create_one(const Subject& subject, const Action& action);
  Outcome create_credentials(const Subject& subject, const CreateCredentials& action);
  Outcome create_of(const Subject& subject, const CreateChild& action);
  Outcome create_child(const Subject& subject, const kube::Resource& resource, const Json& manifest,
                       const kube::CreateOptions& options, const std::string& part);
  static Outcome blocked(Obstacle obstacle);
  Outcome take_name(const Subject& subject, const kube::Resource& resource, const std::string& name);
  [[nodiscard]] Status remove_orphan(const Subject& subject, const kube::Resource& resource,
                                     const Json& orphan);
  Outcome replace_orphan(const Subject& subject, const kube::Resource& resource, const Json& orphan);

  kube::Client& client_;
  ClusterCache& cache_;
  kube::EventRecorder& events_;
  const Issuer& issuer_;
  Lanes& lanes_;
};

}  // namespace muster::op
