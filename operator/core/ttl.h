#pragma once  // operator/core/ttl.h: what remains to do for an object that is done
#include "operator/core/pass.h"

namespace muster::op {

// cleanPodPolicy: None keeps every pod, Running deletes those still alive, All deletes all. Then, after
// ttlSecondsAfterFinished, the object itself, in the foreground. The status is final.
void clean_up(Pass& pass, const spec::RunPolicy& policy);

}  // namespace muster::op
