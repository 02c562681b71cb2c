// common/spec/pod_templates.cc: from an object to the template there
#include "common/spec/pod_templates.h"

#include "common/json/access.h"

namespace muster::spec {

const Json& template_at(const Json& object, const PodTemplatePlace& place) {
  const Json* at = &object;
  for (std::string_view rest = place.path; !rest.empty();) {
    const std::size_t dot = rest.find('.');
    at = &member(*at, rest.substr(0, dot));
    rest = dot == std::string_view::npos ? "" : rest.substr(dot + 1);
  }
  return *at;
}

}  // namespace muster::spec
