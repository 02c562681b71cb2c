#pragma once  // common/yaml/yaml.h: YAML <-> JSON as Kubernetes reads and writes it
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/json/fields.h"

namespace muster {

struct YamlDocument {
  Json value;
  int line = 1;
  std::map<std::string, int, std::less<>> lines;  // field path -> line
};

// All documents that are not empty. Aliases and merge keys are expanded, within a limit on the number of
// values. Errors: kInvalidArgument: "FILE:LINE:COLUMN: what".
[[nodiscard]] Result<std::vector<YamlDocument>> parse_yaml(std::string_view text, const std::string& file);

// Block style, keys in the order of the JSON (alphabetical), strings quoted where a reader would take them
// for something else.
[[nodiscard]] std::string to_yaml(const Json& value);

}  // namespace muster
