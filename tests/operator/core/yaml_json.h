#pragma once  // tests/operator/core/yaml_json.h: YAML files of the tree as JSON, for tests
#include <string>
#include <vector>

#include "common/json/fields.h"

namespace muster::op::testing {

// The documents of a file below the source tree; fails the test when it cannot be read.
[[nodiscard]] std::vector<Json> load_yaml(const std::string& path);
[[nodiscard]] std::vector<std::string> example_paths();  // of all manifests of examples/
// The schema of the CRD's one version.
[[nodiscard]] Json load_schema(const std::string& crd);

// What a server does on the way in: fills in the schema's defaults.
void fill_defaults(const Json& schema, Json& value);
// Where `value` breaks the schema (types, enums, bounds, unknown and missing fields); empty when it does not.
[[nodiscard]] std::vector<std::string> violations(const Json& schema, const Json& value,
                                                  const std::string& path);

}  // namespace muster::op::testing
