#pragma once  // tests/admission/pods.h: the pods that the operator makes of an object, as the API server
              // judges them
#include <string>

#include "tests/admission/admission.h"

namespace muster::admission {

// What the server says of them, in the words of the condition InvalidSpec; "" if it takes them all, or none
// is made.
[[nodiscard]] std::string refusal_of_pods(Server& server, const Json& object);

}  // namespace muster::admission
