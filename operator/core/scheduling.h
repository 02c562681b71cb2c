#pragma once  // operator/core/scheduling.h: what a pass knows of schedulers and queues that take a job as a
              // whole
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/json/fields.h"

namespace muster::op {

struct ApiKind {  // of objects in namespaces that others' controllers define
  std::string group, version, plural, kind;
};

struct ServedApi {
  std::optional<ApiKind> kind{};  // nullopt: the API server does not serve it
  std::string refusal{};          // why the operator cannot use it all the same: a right that it lacks
};

struct SeenChild {
  bool known = false;                    // false: the first list of its kind is not in, or cannot be had
  std::shared_ptr<const Json> object{};  // null: the object has none
};

struct QueuePriority {          // the class that a Workload of Kueue is to have
  std::string group{}, name{};  // empty: none
  std::optional<std::int64_t> value{};
  std::string problem{};  // why that is not known
};

struct SchedulingSeen {
  bool known = false;                                  // what the API server serves
  std::string problem{};                               // why that is not known
  ServedApi native{}, scheduler_plugins{}, volcano{};  // groups of pods that are placed together
  SeenChild group{};                                   // the one of status.gang
  ServedApi queue{};                                   // Workloads of Kueue
  SeenChild workload{};                                // the object's
  std::map<std::string, Json> flavors{};  // ResourceFlavors of its admission; null: not to be had
  std::string flavor_problem{};           // why not
  QueuePriority priority{};               // for a Workload that is to be made
};

}  // namespace muster::op
