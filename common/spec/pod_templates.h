#pragma once  // common/spec/pod_templates.h: where an object has the templates of its pods
#include <array>
#include <string_view>

#include "common/json/fields.h"

namespace muster::spec {

struct PodTemplatePlace {
  const char* kind;
  const char* path;  // in the object
  const char* role;  // of its pods, and of the container that carries it
};

inline constexpr PodTemplatePlace kWorkerTemplate{"DistributedJob", "spec.workers.template", "worker"};
inline constexpr PodTemplatePlace kServerTemplate{"DistributedJob",
                                                  "spec.synchronization.parameterServers.template", "server"};
inline constexpr PodTemplatePlace kAggregatorTemplate{"FederatedRound", "spec.aggregator.template",
                                                      "aggregator"};
inline constexpr PodTemplatePlace kClientTemplate{"FederatedRound", "spec.clients.template", "client"};

// All of both kinds, the one that counts most first; a test compares them with the schemas.
inline constexpr std::array kPodTemplates{kWorkerTemplate, kServerTemplate, kAggregatorTemplate,
                                          kClientTemplate};

// Null: there is none. The kind is not looked at: what a list has holds none.
[[nodiscard]] const Json& template_at(const Json& object, const PodTemplatePlace& place);

}  // namespace muster::spec
