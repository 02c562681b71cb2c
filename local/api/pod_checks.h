#pragma once  // local/api/pod_checks.h: checks of a pod's spec that look into its volumes and references
#include <string>

#include "local/api/api_error.h"
#include "local/api/formats.h"

namespace muster::local {

// subPath, subPathExpr and the paths of items are relative and without "..". `root`: "spec", or where else a
// pod's spec stands.
void check_pod_paths(const Json& spec, const std::string& root, FieldErrors& errors);

// `volume`, at `at`: a hostPath has a type that there is and no "..".
void check_host_path(const Json& volume, const std::string& at, FieldErrors& errors);

// The fieldRef of a variable (`env`: its entry, `at`: its path) names a field that variables may have.
void check_variable_field(const Json& env, const std::string& at, FieldErrors& errors);

// What of a pod's spec differs, a line each, for the end of a refusal: "  spec.containers: ... -> ...\n".
[[nodiscard]] std::string changed_fields(const Json& old_spec, const Json& spec);

}  // namespace muster::local
