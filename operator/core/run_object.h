#pragma once  // operator/core/run_object.h: the frame of a pass over one object, the same for both kinds
#include <string>
#include <vector>

#include "operator/core/history.h"
#include "operator/core/kueue.h"

namespace muster::op {

// What the frame needs to know of the object.
struct ObjectPolicy {
  const api::ObjectMeta& meta;
  const char* kind;
  const api::JobStatus& status;
  std::string selector_role;          // of status.selector; empty: all roles
  std::vector<std::string> roles{};   // of the pods that are replaced as an incarnation
  const Error* unreadable = nullptr;  // why the spec cannot work: then nothing below counts
  bool managed_elsewhere = false;     // another controller works on it: nothing is done
  bool suspend = false;               // the spec wants no pods
  std::int64_t pods_wanted = 0;       // while it is not suspended
  bool agents = true;                 // Muster's programs run in the pods
  bool all_agents = false;            // and each is listened to, all the time
  spec::RunPolicy run_policy{};
  RecordedPods recorded{};  // for the record of its end
};

// What the kind does in between.
class ObjectBody {
 public:
  virtual ~ObjectBody() = default;
  // True when the object has ended by what its pods have done; comes before suspension and deadlines.
  virtual bool conclude(Pass& pass) = 0;
  // Judges failures, creates what is missing, configures, and tells how it is going.
  virtual void advance(Pass& pass) = 0;
  // What it asks a queue for.
  [[nodiscard]] virtual std::vector<PodSet> pod_sets(const Pass& pass) const = 0;
};

// Deleted and finished objects, names and specs that cannot work, suspension, snapshots that mix two
// instants, deadlines: in this order. `body` is asked only past those that come before it, and may be null
// while the spec is unreadable.
[[nodiscard]] Decision run_object(const Observed& seen, const ObjectPolicy& policy, ObjectBody* body);

}  // namespace muster::op
