// operator/core/incarnation_image.cc: the release of Muster that an incarnation's pods are of
#include "operator/core/incarnation_image.h"

#include <tuple>

#include "common/json/access.h"
#include "common/pods/pod_state.h"
#include "operator/core/failure_policy.h"
#include "operator/core/servers.h"

namespace muster::op {
namespace {

bool names_no_image(const Json& pod_template, const char* role) {
  const Json& containers = member(pod_template, "spec", "containers");
  return !containers.is_array() || containers.empty() ||
         text(member(containers[role_container(containers, role)], "image")).empty();
}

}  // namespace

std::string image_of_incarnation(const Pass& pass, const api::DistributedJobSpec& spec) {
  const bool of_workers = spec.training && (spec.training->program.has_value() ||
                                            names_no_image(spec.workers.pod_template, "worker"));
  const bool of_servers = servers_wanted(spec) > 0 && names_no_image(server_template(spec), "server");
  const auto rank = [](const Pod& pod) {
    return std::tuple(pod.image_state != ImageState::kRan, fate_of(pod) != PodFate::kAlive,
                      pod.created.value_or(WallTime::max()), pod.index);
  };
  const Pod* first = nullptr;
  for (const Pod& pod : pass.seen.pods) {
    const bool tells = (of_workers && pod.role == "worker") || (of_servers && pod.role == "server");
    if (!tells || pod.incarnation != pass.after.incarnation || pod.image.empty() ||
        pod.image_state == ImageState::kMissing)
      continue;
    if (first == nullptr || rank(pod) < rank(*first)) first = &pod;
  }
  return first == nullptr ? pass.seen.defaults.worker_image : first->image;
}

}  // namespace muster::op
