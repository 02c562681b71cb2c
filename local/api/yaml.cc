// local/api/yaml.cc: yaml-cpp's nodes as JSON values
#include "local/api/yaml.h"

#include <yaml-cpp/yaml.h>

#include <re2/re2.h>

namespace muster::local {
namespace {

constexpr int kDepthMax = 200;
constexpr std::size_t kNodesMax = 1000000;  // aliases can make a small text a huge tree

Json scalar(const YAML::Node& node) {
  static const re2::RE2 kInteger("[-+]?(0|[1-9][0-9_]*)");
  static const re2::RE2 kFloat(R"([-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9_]+|[0-9][0-9_]*)([eE][-+]?[0-9]+)?)");
  static const re2::RE2 kHex("0x[0-9a-fA-F]+");
  static const re2::RE2 kOctal("0o?[0-7]+");
  std::string text = node.Scalar();
  const std::string tag = node.Tag();
  if (tag == "!" || tag == "tag:yaml.org,2002:str") return text;
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  for (const char* yes : {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
    if (text == yes) return true;
  for (const char* no : {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
    if (text == no) return false;
  std::string digits = text;
  std::erase(digits, '_');
  if (digits.size() < 40) {
    const Json plain = Json::parse(digits[0] == '+' ? digits.substr(1) : digits, nullptr, false);
    if (re2::RE2::FullMatch(text, kInteger) && plain.is_number()) return plain;
    if (digits.size() < 18 && re2::RE2::FullMatch(text, kHex)) return std::stoll(digits, nullptr, 16);
    if (digits.size() < 20 && re2::RE2::FullMatch(text, kOctal))
      return std::stoll(digits[1] == 'o' ? digits.substr(2) : digits, nullptr, 8);
    if (re2::RE2::FullMatch(text, kFloat)) return std::strtod(digits.c_str(), nullptr);
  }
  return text;
}

Result<Json> convert(const YAML::Node& node, int depth, std::size_t& nodes) {
  if (depth > kDepthMax || ++nodes > kNodesMax)
    return invalid_argument("the document is nested too deep or too large");
  switch (node.Type()) {
    case YAML::NodeType::Map: {
      Json object = Json::object();
      for (const auto& entry : node) {
        if (!entry.first.IsScalar()) return invalid_argument("a key must be a scalar");
        MUSTER_ASSIGN(Json value, convert(entry.second, depth + 1, nodes));
        object[entry.first.Scalar()] = std::move(value);
      }
      return object;
    }
    case YAML::NodeType::Sequence: {
      Json array = Json::array();
      for (const auto& entry : node) {
        MUSTER_ASSIGN(Json value, convert(entry, depth + 1, nodes));
        array.push_back(std::move(value));
      }
      return array;
    }
    case YAML::NodeType::Scalar: return scalar(node);
    default: return Json();
  }
}

}  // namespace

Result<std::vector<Json>> parse_yaml_documents(const std::string& text) {
  try {
    std::vector<Json> documents;
    std::size_t nodes = 0;
    for (const YAML::Node& node : YAML::LoadAll(text)) {
      MUSTER_ASSIGN(Json document, convert(node, 0, nodes));
      if (!document.is_null()) documents.push_back(std::move(document));
    }
    return documents;
  } catch (const std::exception& error) {
    return invalid_argument(error.what());
  }
}

Result<Json> parse_yaml(const std::string& text) {
  // JSON is YAML, and much faster to parse as what it is.
  if (const auto start = text.find_first_not_of(" \t\r\n");
      start != std::string::npos && text[start] == '{') {
    Json json = Json::parse(text, nullptr, false);
    if (!json.is_discarded()) return json;
  }
  MUSTER_ASSIGN(auto documents, parse_yaml_documents(text));
  if (documents.size() != 1) return invalid_argument("one YAML document is expected");
  return std::move(documents.front());
}

std::string json_problem(const std::string& text) {
  try {
    const Json parsed = Json::parse(text);
    return "";
  } catch (const Json::parse_error& error) {
    if (error.byte > text.size()) return "unexpected end of JSON input";
    const char c = error.byte > 0 && error.byte <= text.size() ? text[error.byte - 1] : ' ';
    return std::string("invalid character '") + c + "' at offset " + std::to_string(error.byte);
  }
}

}  // namespace muster::local
