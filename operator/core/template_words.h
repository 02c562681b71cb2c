#pragma once  // operator/core/template_words.h: what is said of a pod, said of the template that it was made
              // of
#include <string>
#include <string_view>

#include "common/json/fields.h"

namespace muster::op {

// A sentence of the API server about a pod of this manifest with the paths that its user wrote: below `part`
// ("spec.workers.template"), and without the variables that pod_manifest puts before the template's own.
[[nodiscard]] std::string in_template(std::string_view message, const Json& manifest, std::string_view part);

}  // namespace muster::op
