#pragma once  // operator/core/incarnation_image.h: the release of Muster that an incarnation's pods are of
#include <string>

#include "operator/core/pass.h"

namespace muster::op {

// The image for Muster's containers whose template names none. Workers and servers of one incarnation prove
// to each other that they speak the same version, so whoever is added to it gets the image that its pods
// have, though the operator's own default be another by now; the pods tell it, those first that have run
// it, then living ones and older ones, and need nothing in the status. One that waits for an image which
// cannot be had tells nothing. A new incarnation, and one of which no pod tells, is of the operator's
// release. Cost: O(p) for p pods.
[[nodiscard]] std::string image_of_incarnation(const Pass& pass, const api::DistributedJobSpec& spec);

}  // namespace muster::op
