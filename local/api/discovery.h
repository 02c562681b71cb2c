#pragma once  // local/api/discovery.h: which groups, versions and kinds there are, in both forms of discovery
#include <optional>

#include "common/json/fields.h"
#include "local/api/http_message.h"
#include "local/api/kind.h"

namespace muster::local {

// /api, /apis and the documents below them; nullopt for other paths.
[[nodiscard]] std::optional<HttpResponse> discovery_document(const KindTable& table,
                                                             const HttpRequest& request);
[[nodiscard]] Json version_info();
[[nodiscard]] Json root_paths(const KindTable& table);

struct Subresource {
  std::string name;
  std::string group, version, kind;  // of what it answers; "" as the kind's own
  std::vector<std::string> verbs;
};
[[nodiscard]] std::vector<Subresource> subresources_of(const Kind& kind);

}  // namespace muster::local
