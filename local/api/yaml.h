#pragma once  // local/api/yaml.h: YAML as JSON, and what is wrong with a text that is neither
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::local {

// One document; scalars become null, booleans, numbers or strings by YAML 1.1's rules, as kubectl does it.
[[nodiscard]] Result<Json> parse_yaml(const std::string& text);
// Every document of a text; empty ones are left out.
[[nodiscard]] Result<std::vector<Json>> parse_yaml_documents(const std::string& text);
// Why a text is not JSON, in the words of Go's decoder where they are simple.
[[nodiscard]] std::string json_problem(const std::string& text);

}  // namespace muster::local
