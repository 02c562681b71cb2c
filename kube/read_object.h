#pragma once  // kube/read_object.h: what the API server sends, as our client reads it
#include <string_view>

#include "common/json/fields.h"

namespace muster::kube {

// As read_json, without metadata.managedFields (who wrote which field) of an object, of the items of a list
// and of the object of a watch event: half of a pod's text, which nobody here asks for. It is cut out of the
// text, so that not even its JSON is checked. An object that is written back without it keeps what the server
// has.
[[nodiscard]] Json read_object(std::string_view text);

}  // namespace muster::kube
