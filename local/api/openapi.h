#pragma once  // local/api/openapi.h: OpenAPI v3 (an index and a document a group and version) and a small v2
#include "local/api/http_message.h"
#include "local/api/kind.h"

namespace muster::local {

[[nodiscard]] HttpResponse openapi_v3(const KindTable& table, const HttpRequest& request);
[[nodiscard]] HttpResponse openapi_v2(const KindTable& table, const HttpRequest& request);

}  // namespace muster::local
