#pragma once  // cli/apply.h: a run's objects into its API server: all of them checked first, then created
#include <vector>

#include "cli/manifest.h"
#include "kube/client.h"

namespace muster::cli {

// Creates the namespaces that are named, checks every object by a strict dry run, and creates them only if
// the server took all; of a job also the pods that its templates describe, whose fields its schema does not
// know, and the rules of the operator (check_spec.h). Returns the jobs as created. Errors: kInvalidArgument:
// one line for each refused object, with the place in its file where the server's message names a field.
[[nodiscard]] Result<std::vector<Json>> apply_objects(kube::Client& client,
                                                      const std::vector<ManifestObject>& objects);

// "job.yaml:14: MESSAGE", the place being that of the longest field path of `object` which the message names.
[[nodiscard]] std::string locate(const ManifestObject& object, const std::string& message);

}  // namespace muster::cli
