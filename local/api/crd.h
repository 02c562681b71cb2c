#pragma once  // local/api/crd.h: CustomResourceDefinitions: their checks, and the kinds that come of them
#include <string>
#include <vector>

#include "local/api/api_error.h"
#include "local/api/formats.h"
#include "local/api/kind.h"

namespace muster::local {

// Names filled in (singular, listKind), defaults.
void default_crd(Json& crd);
// What a real server refuses when the definition is written; CEL rules are compiled (crd_check.cc).
[[nodiscard]] FieldErrors validate_crd(const Json& crd, const Json* old);
// The kinds of its served versions, the newest first; empty if the definition cannot be served.
[[nodiscard]] std::vector<KindPtr> kinds_of_crd(const Json& crd);
// NamesAccepted and Established, storedVersions, acceptedNames. False if nothing changed.
[[nodiscard]] bool establish_crd(Json& crd, const KindTable& others, WallTime now);

inline constexpr const char* kCrdFinalizer = "customresourcecleanup.apiextensions.k8s.io";

}  // namespace muster::local
