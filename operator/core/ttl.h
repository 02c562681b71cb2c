#pragma once  // operator/core/ttl.h: what remains to do for an object that is done
#include "operator/core/history.h"

namespace muster::op {

// cleanPodPolicy: None keeps every pod. Running deletes those in which something still runs, be it a sidecar:
// a node keeps its GPUs for the whole pod. All deletes all. One whose role's container has failed goes a few
// seconds after the end, so that whoever follows the object can read its log. Then, after
// ttlSecondsAfterFinished, the object itself, in the foreground. The status is final.
// `recorded`: for its record, which is written once more before that.
void clean_up(Pass& pass, const spec::RunPolicy& policy, const RecordedPods& recorded);

}  // namespace muster::op
