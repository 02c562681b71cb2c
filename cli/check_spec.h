#pragma once  // cli/check_spec.h: a job's spec, judged by the operator's own reader
#include "cli/manifest.h"

namespace muster::cli {

// What the operator would refuse with condition InvalidSpec: rules that no schema holds (names that Muster
// keeps to itself, paths that lie in no volume, counts that do not fit). `completed` is the object with the
// server's defaults. Errors: kInvalidArgument, with the place in the file.
[[nodiscard]] Status check_spec(const ManifestObject& object, const Json& completed);

}  // namespace muster::cli
