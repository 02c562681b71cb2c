// operator/core/incarnation_image.cc: the release of Muster that an incarnation's pods are of
#include "operator/core/incarnation_image.h"

#include <algorithm>
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

// Those first that have run, then living ones and older ones.
bool comes_before(const Pod& a, const Pod& b) {
  const auto rank = [](const Pod& pod) {
    return std::tuple(pod.image_state != ImageState::kRan, fate_of(pod) != PodFate::kAlive,
                      pod.created.value_or(WallTime::max()), pod.index);
  };
  return rank(a) < rank(b);
}

// The first of the present incarnation's pods that `tells`; null: none.
template <typename Tells>
const Pod* first_to_tell(const Pass& pass, Tells tells) {
  const Pod* first = nullptr;
  for (const Pod& pod : pass.seen.pods) {
    if (pod.incarnation != pass.after.incarnation || !tells(pod)) continue;
    if (first == nullptr || comes_before(pod, *first)) first = &pod;
  }
  return first;
}

bool tells_its_image(const Pod& pod) { return !pod.image.empty() && pod.image_state != ImageState::kMissing; }

// `others_count`: so does the word of the other role's pods.
std::string image_of_role(const Pass& pass, const std::string& role, bool others_count,
                          const std::string& otherwise) {
  const Pod* own =
      first_to_tell(pass, [&](const Pod& pod) { return pod.role == role && tells_its_image(pod); });
  if (own != nullptr) return own->image;
  const auto cannot_be_had = [&](const std::string& image) {
    return std::ranges::any_of(pass.seen.pods, [&](const Pod& pod) {
      return pod.role == role && pod.image == image && pod.image_state == ImageState::kMissing;
    });
  };
  const Pod* other = first_to_tell(
      pass, [&](const Pod& pod) { return pod.role != role && !pod.peer_image.empty() && others_count; });
  return other == nullptr || cannot_be_had(other->peer_image) ? otherwise : other->peer_image;
}

bool has_had_clients(const api::JobStatus& status) {
  return integer(member(status.progress, "round")) > 0 || integer(member(status.progress, "connected")) > 0;
}

}  // namespace

std::string image_of_incarnation(const Pass& pass, const api::DistributedJobSpec& spec) {
  const bool of_workers = spec.training && (spec.training->program.has_value() ||
                                            names_no_image(spec.workers.pod_template, "worker"));
  const bool of_servers = servers_wanted(spec) > 0 && names_no_image(server_template(spec), "server");
  const Pod* first = first_to_tell(pass, [&](const Pod& pod) {
    return ((of_workers && pod.role == "worker") || (of_servers && pod.role == "server")) &&
           tells_its_image(pod);
  });
  return first == nullptr ? pass.seen.defaults.worker_image : first->image;
}

RoundImages images_of_incarnation(const Pass& pass, const api::FederatedRoundSpec& spec) {
  RoundImages images;
  if (names_no_image(spec.aggregator_template, "aggregator"))
    images.aggregator = image_of_role(pass, "aggregator", true, pass.seen.defaults.aggregator_image);
  if (spec.federation.training.program || names_no_image(spec.client_template, "client"))
    images.client =
        image_of_role(pass, "client", has_had_clients(pass.before), pass.seen.defaults.device_image);
  return images;
}

}  // namespace muster::op
