#pragma once  // local/api/openapi_protobuf.h: OpenAPI v2 as the protobuf document that kubectl asks for
#include <string>

#include "common/json/fields.h"

namespace muster::local {

inline constexpr const char* kOpenApiV2Accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
inline constexpr const char* kOpenApiV2Type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

// A swagger 2.0 document in the wire format of openapi.v2.Document (gnostic's OpenAPIv2.proto): paths with
// operations and parameters, definitions, and extensions as YAML text.
[[nodiscard]] std::string openapi_v2_protobuf(const Json& document);

}  // namespace muster::local
