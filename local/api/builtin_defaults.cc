// local/api/builtin_defaults.cc: defaults of bindings, network policies and limit ranges
#include "local/api/builtin_defaults.h"

#include "local/api/metadata.h"

namespace muster::local {

void default_binding(Json& binding) {
  constexpr const char* kRbac = "rbac.authorization.k8s.io";
  if (binding.contains("roleRef") && binding["roleRef"].is_object() &&
      text_at(binding["roleRef"], "apiGroup").empty())
    binding["roleRef"]["apiGroup"] = kRbac;
  if (!binding.contains("subjects") || !binding["subjects"].is_array()) return;
  for (Json& subject : binding["subjects"])
    if (const std::string kind = text_at(subject, "kind"); kind == "User" || kind == "Group")
      if (text_at(subject, "apiGroup").empty()) subject["apiGroup"] = kRbac;
}

void default_network_policy(Json& policy) {
  if (!policy.contains("spec") || !policy["spec"].is_object()) return;
  Json& spec = policy["spec"];
  for (const char* list : {"ingress", "egress"})
    for (std::size_t i = 0; i < array_of(spec, list).size(); ++i)
      for (std::size_t k = 0; k < array_of(spec[list][i], "ports").size(); ++k)
        if (spec[list][i]["ports"][k].is_object()) set_default(spec[list][i]["ports"][k], "protocol", "TCP");
  if (!array_of(spec, "policyTypes").empty()) return;
  spec["policyTypes"] = Json::array({"Ingress"});
  if (!array_of(spec, "egress").empty()) spec["policyTypes"].push_back("Egress");
}

// A container's limit that is not said otherwise is its default, and its default request.
void default_limit_range(Json& range) {
  for (std::size_t i = 0; i < array_of(object_of(range, "spec"), "limits").size(); ++i) {
    Json& item = range["spec"]["limits"][i];
    if (text_at(item, "type") != "Container") continue;
    const auto fill = [&item](const char* from, const char* to) {
      const Json values = object_of(item, from);  // a copy: `to` may be its neighbour
      for (const auto& [name, value] : values.items()) set_default(item[to], name.c_str(), value);
    };
    fill("max", "default");
    fill("default", "defaultRequest");
    fill("min", "defaultRequest");
  }
}

}  // namespace muster::local
