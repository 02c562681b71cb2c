#pragma once  // operator/core/configure.h: the members of a training are told their membership
#include <string>
#include <vector>

#include "operator/api/distributed_job.h"
#include "operator/core/pass.h"

namespace muster::op {

struct Configuring {
  const api::DistributedJobSpec& spec;
  const std::string& for_pods;             // the spec as pods get it
  const std::vector<const Pod*>& workers;  // of the present incarnation
  const std::vector<const Pod*>& servers;
};

// Ranks and roster: of a membership that is in the status already, so that no other of its number can be
// told. The servers' ranks come behind the workers'.
void configure(Pass& pass, const Configuring& what);

}  // namespace muster::op
