#pragma once  // cli/convert/pod_template.h: a pod template of another operator, as DistributedJob takes one
#include <string>

#include "cli/convert/conversion.h"

namespace muster::cli {

inline constexpr const char* kTemplate = "/spec/workers/template";
inline constexpr const char* kContainers = "/spec/workers/template/spec/containers";

// The template at `from` of the source becomes that of the workers.
void take_template(Conversion& conversion, const std::string& from);

// Of the workers' template, once it is whole: `role` is the container that does the work, as the other
// operator knows it by (its index); what Muster sets itself goes into comments. `from` is where the template
// was. Needs an image of each container.
void fit_template(Conversion& conversion, const std::string& from, std::size_t role);

// The index of the container of that name, else the first.
[[nodiscard]] std::size_t container_named(Conversion& conversion, const std::string& name);

// Appends to the env of a container, unless it has the variable.
void add_variable(Json& container, const std::string& name, const std::string& value);
// Likewise, but one that it has is replaced, and told in a comment: of operators whose own variables count.
void set_variable(Conversion& conversion, Json& container, const Json& variable);

}  // namespace muster::cli
