#pragma once  // operator/core/incarnation_image.h: the release of Muster that an incarnation's pods are of
#include <string>

#include "operator/core/pass.h"

namespace muster::op {

// The image for Muster's containers whose template names none. The pods of one incarnation speak one
// release's protocol with each other (workers and servers prove it, clients have the aggregator's address),
// so whoever is added to it gets the image that its pods have, though the operator's own default be another
// by now. The pods tell it, those first that have run it, then living ones and older ones; nothing in the
// status is needed. One that waits for an image which cannot be had tells nothing. A new incarnation, and one
// of which no pod tells, is of the operator's release. Cost: O(p) for p pods.
[[nodiscard]] std::string image_of_incarnation(const Pass& pass, const api::DistributedJobSpec& spec);

inline constexpr const char* kPeerImageAnnotation = "muster.dev/peer-image";
// The two roles of a FederatedRound have images of their own, and a round may have one client pod alone, so
// each pod also names the other role's image, as of when it was made (annotation muster.dev/peer-image). The
// aggregator's word on its clients counts once they have taken part in a round: before that nothing says
// that it can be had.
struct RoundImages {
  std::string aggregator, client;  // empty: the template names its own
};
[[nodiscard]] RoundImages images_of_incarnation(const Pass& pass, const api::FederatedRoundSpec& spec);

}  // namespace muster::op
