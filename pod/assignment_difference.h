#pragma once  // pod/assignment_difference.h: whether an assignment that comes again says the same
#include <optional>
#include <string>

#include "proto/control.pb.h"

namespace muster {

// The path of the first field in which `again` differs from `taken`, e.g. "worker.rank" or
// "spec.training.batchSize"; nullopt when both mean the same. A field at its default counts as absent, in
// specs, too. Fields that this program does not
// know, and the receiver's uid, which an older operator does not write, are left out. Values are never part
// of the answer.
[[nodiscard]] std::optional<std::string> difference(const control::v1::Assignment& taken,
                                                    const control::v1::Assignment& again);

}  // namespace muster
