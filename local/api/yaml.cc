// local/api/yaml.cc: bodies in YAML or JSON
#include "local/api/yaml.h"

#include "common/json/read_json.h"
#include "common/yaml/yaml.h"

namespace muster::local {

Result<std::vector<Json>> parse_yaml_documents(const std::string& text) {
  // JSON is YAML, and much faster to parse as what it is.
  if (const auto start = text.find_first_not_of(" \t\r\n");
      start != std::string::npos && text[start] == '{') {
    std::vector<Json> documents{read_json(text)};
    if (!documents.front().is_discarded()) return documents;
  }
  MUSTER_ASSIGN(auto parsed, muster::parse_yaml(text, "the body"));
  std::vector<Json> documents;
  for (YamlDocument& document : parsed) documents.push_back(std::move(document.value));
  return documents;
}

Result<Json> parse_yaml(const std::string& text) {
  MUSTER_ASSIGN(auto documents, parse_yaml_documents(text));
  if (documents.size() != 1) return invalid_argument("one YAML document is expected");
  return std::move(documents.front());
}

std::string json_problem(const std::string& text) {
  if (nested_too_deep(std::string_view(text))) return "exceeded max depth";
  try {
    const Json parsed = Json::parse(text);
    return "";
  } catch (const Json::parse_error& error) {
    if (error.byte > text.size()) return "unexpected end of JSON input";
    const char c = error.byte > 0 && error.byte <= text.size() ? text[error.byte - 1] : ' ';
    return std::string("invalid character '") + c + "' at offset " + std::to_string(error.byte);
  } catch (const Json::out_of_range&) {
    return "a number is too large for a float64";
  }
}

}  // namespace muster::local
