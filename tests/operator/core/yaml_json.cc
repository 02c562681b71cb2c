// tests/operator/core/yaml_json.cc: YAML files of the tree as JSON, and the schema's part of an API server
#include "yaml_json.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "common/yaml/yaml.h"

namespace muster::op::testing {
namespace {

bool has_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return value.is_number_integer();
  return type == "number" && value.is_number();
}

}  // namespace

std::vector<std::string> example_paths() {
  const std::filesystem::path root = MUSTER_SOURCE_DIR;
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root / "examples"))
    if (entry.path().extension() == ".yaml") paths.push_back(entry.path().lexically_relative(root).string());
  return paths;
}

std::vector<Json> load_yaml(const std::string& path) {
  std::ifstream file(std::string(MUSTER_SOURCE_DIR) + "/" + path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto parsed = parse_yaml(text, path);
  if (!parsed) {
    ADD_FAILURE() << parsed.error().message;
    return {};
  }
  std::vector<Json> documents;
  for (const YamlDocument& document : *parsed) documents.push_back(document.value);
  return documents;
}

Json load_schema(const std::string& crd) {
  return load_yaml("crds/" + crd).at(0)["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
}

void fill_defaults(const Json& schema, Json& value) {
  if (value.is_object() && schema.contains("properties")) {
    for (const auto& property : schema["properties"].items()) {
      if (!value.contains(property.key()) && property.value().contains("default"))
        value[property.key()] = property.value()["default"];
      if (value.contains(property.key())) fill_defaults(property.value(), value[property.key()]);
    }
  }
  if (value.is_array() && schema.contains("items"))
    for (Json& item : value) fill_defaults(schema["items"], item);
}

std::vector<std::string> violations(const Json& schema, const Json& value, const std::string& path) {
  std::vector<std::string> found;
  if (!has_type(value, schema["type"])) return {path + ": not of type " + schema["type"].dump()};
  if (schema.contains("enum") &&
      std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end())
    found.push_back(path + ": not in the enum: " + value.dump());
  if (schema.contains("minimum") && value < schema["minimum"]) found.push_back(path + ": below the minimum");
  if (schema.contains("maximum") && value > schema["maximum"]) found.push_back(path + ": above the maximum");
  if (schema.contains("maxItems") && value.size() > schema["maxItems"])
    found.push_back(path + ": too many items");
  for (const Json& name : schema.value("required", Json::array()))
    if (!value.contains(name.get<std::string>()))
      found.push_back(path + "." + name.get<std::string>() + ": missing");
  const auto append = [&](const Json& inner, const Json& item, const std::string& at) {
    for (std::string& violation : violations(inner, item, at)) found.push_back(std::move(violation));
  };
  if (value.is_array())
    for (std::size_t i = 0; i < value.size(); ++i)
      append(schema["items"], value[i], path + "[" + std::to_string(i) + "]");
  const Json& properties = schema.contains("properties") ? schema["properties"] : Json::object();
  if (!value.is_object() || schema.value("x-kubernetes-preserve-unknown-fields", false)) return found;
  for (const auto& item : value.items()) {
    if (path == "metadata") continue;
    if (!properties.contains(item.key()))
      found.push_back(path + "." + item.key() + ": unknown field");
    else
      append(properties[item.key()], item.value(), path.empty() ? item.key() : path + "." + item.key());
  }
  return found;
}

}  // namespace muster::op::testing
