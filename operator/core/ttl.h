#pragma once  // operator/core/ttl.h: what remains to do for an object that is done
#include "operator/core/pass.h"

namespace muster::op {

// cleanPodPolicy: None keeps every pod. Running deletes those in which something still runs, be it a sidecar
// of a rank that is done, but keeps the log of a role's container that has failed. All deletes all; one that
// has failed a few seconds after the end, so that whoever follows the object can read its log. Then, after
// ttlSecondsAfterFinished, the object itself, in the foreground. The status is final.
void clean_up(Pass& pass, const spec::RunPolicy& policy);

}  // namespace muster::op
