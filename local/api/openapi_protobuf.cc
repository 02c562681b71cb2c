// local/api/openapi_protobuf.cc: field numbers of OpenAPIv2.proto, and a writer of length-delimited messages
#include "local/api/openapi_protobuf.h"

#include <cstdint>

#include "common/json/access.h"

namespace muster::local {
namespace {

class Message {
 public:
  void text(std::uint32_t number, const std::string& value) {
    key(number, 2);
    varint(value.size());
    bytes_ += value;
  }
  void message(std::uint32_t number, const Message& value) { text(number, value.bytes_); }
  void flag(std::uint32_t number, bool value) {
    if (!value) return;
    key(number, 0);
    varint(1);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  void key(std::uint32_t number, std::uint32_t wire) { varint(number << 3 | wire); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

Message any(const Json& value) {  // Any: 2 yaml; JSON is YAML
  Message message;
  message.text(2, value.dump());
  return message;
}

Message named(const std::string& name, const Message& value) {
  Message message;
  message.text(1, name);
  message.message(2, value);
  return message;
}

void add_extensions(const Json& object, std::uint32_t number, Message& out) {
  for (const auto& [name, value] : object.items())
    if (name.rfind("x-", 0) == 0) out.message(number, named(name, any(value)));
}

Message schema(const Json& json);

Message properties(const Json& members) {
  Message message;
  for (const auto& [name, member] : members.items()) message.message(1, named(name, schema(member)));
  return message;
}

Message schema(const Json& json) {
  Message out;
  const auto text = [&](const char* name, std::uint32_t number) {
    if (const std::string value = text_at(json, name); !value.empty()) out.text(number, value);
  };
  text("$ref", 1);
  text("format", 2);
  text("description", 4);
  if (json.contains("default")) out.message(5, any(json["default"]));
  text("pattern", 13);
  if (json.contains("required"))
    for (const Json& name : json["required"]) out.text(19, name.get<std::string>());
  if (json.contains("enum"))
    for (const Json& value : json["enum"]) out.message(20, any(value));
  if (json.contains("additionalProperties")) {
    Message item;
    if (json["additionalProperties"].is_object())
      item.message(1, schema(json["additionalProperties"]));
    else
      item.flag(2, json["additionalProperties"] == Json(true));
    out.message(21, item);
  }
  if (const std::string type = text_at(json, "type"); !type.empty()) {
    Message item;
    item.text(1, type);
    out.message(22, item);
  }
  if (json.contains("items")) {
    Message item;
    item.message(1, schema(json["items"]));
    out.message(23, item);
  }
  if (json.contains("allOf"))
    for (const Json& branch : json["allOf"]) out.message(24, schema(branch));
  if (json.contains("properties")) out.message(25, properties(json["properties"]));
  add_extensions(json, 31, out);
  return out;
}

Message parameter(const Json& json) {
  const bool path = text_at(json, "in") == "path";
  Message inner;  // QueryParameterSubSchema, PathParameterSubSchema
  inner.flag(1, path);
  inner.text(2, text_at(json, "in"));
  inner.text(4, text_at(json, "name"));
  inner.text(path ? 5 : 6, text_at(json, "type"));
  Message non_body, outer, item;
  non_body.message(path ? 4 : 3, inner);
  outer.message(2, non_body);
  item.message(1, outer);
  return item;
}

Message operation(const Json& json) {
  Message out;
  for (const Json& each : json["parameters"]) out.message(8, parameter(each));
  Message response, value, responses;
  response.text(1, "OK");
  value.message(1, response);
  responses.message(1, named("200", value));
  out.message(9, responses);
  add_extensions(json, 13, out);
  return out;
}

Message path_item(const Json& json) {
  static const std::pair<const char*, std::uint32_t> kMethods[] = {
      {"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"patch", 8}};
  Message out;
  for (const auto& [name, number] : kMethods)
    if (json.contains(name)) out.message(number, operation(json[name]));
  if (json.contains("parameters"))
    for (const Json& each : json["parameters"]) out.message(9, parameter(each));
  return out;
}

}  // namespace

std::string openapi_v2_protobuf(const Json& document) {
  Message out, info, paths, definitions;
  out.text(1, "2.0");
  info.text(1, text_at(document["info"], "title"));
  info.text(2, text_at(document["info"], "version"));
  out.message(2, info);
  for (const auto& [name, item] : document["paths"].items()) paths.message(2, named(name, path_item(item)));
  out.message(8, paths);
  for (const auto& [name, each] : document["definitions"].items())
    definitions.message(1, named(name, schema(each)));
  out.message(9, definitions);
  return out.bytes();
}

}  // namespace muster::local
