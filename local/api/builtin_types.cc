// local/api/builtin_types.cc: reads builtin_types.txt
//
// A line is a type: its name, "atomic" if server-side apply takes it as a whole, then its fields:
// name[!]:type[;option...]. "!" marks a required field. Types: string, bytes, boolean, int32, int64,
// number, time, microtime, quantity, intorstring, any, @Type; "[]" a list of, "{}" a map of. Options:
// merge[=key] and retain (strategic merge), map=keys, set, atomic (server-side apply), enum=a,b.
#include "local/api/builtin_types.h"

#include <map>
#include <sstream>

#include "common/base/check.h"
#include "common/platform/mutex.h"

namespace muster::local {

extern const char* const kBuiltinTypes;  // from builtin_types.txt, see CMakeLists.txt

namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

// Some types of several groups share a name; the table keeps them apart by a prefix.
std::string shown_name(const std::string& name) {
  for (const std::string_view prefix : {"V2", "RbacV1", "AdmissionregistrationV1", "ApiextensionsV1"})
    if (name.rfind(prefix, 0) == 0) return name.substr(prefix.size());
  return name.substr(name.find('.') + 1);
}

class Types {
 public:
  Types() {
    std::istringstream in(kBuiltinTypes);
    for (std::string line; std::getline(in, line);) {
      const auto space = line.find(' ');
      lines_[line.substr(0, space)] = space == std::string::npos ? "" : line.substr(space + 1);
    }
  }

  SchemaPtr get(const std::string& name) {
    const auto known = compiled_.find(name);
    if (known != compiled_.end()) return known->second;
    const auto line = lines_.find(name);
    MUSTER_CHECK(line != lines_.end());
    auto schema = std::make_shared<Schema>();
    compiled_[name] = schema;  // before its fields: JSONSchemaProps holds itself
    schema->type = Schema::Type::kObject;
    schema->type_name = shown_name(name);
    std::istringstream in(line->second);
    for (std::string field; in >> field;) {
      if (field == "atomic")
        schema->map_type = "atomic";
      else
        add_field(*schema, field);
    }
    if (schema->properties.empty()) schema->preserve_unknown = name != "ListMeta" && line->second.empty();
    return schema;
  }

 private:
  void add_field(Schema& owner, const std::string& field) {
    const std::vector<std::string> parts = split(field, ';');
    const auto colon = parts[0].find(':');
    std::string name = parts[0].substr(0, colon);
    if (name.back() == '!') {
      name.pop_back();
      owner.required.push_back(name);
    }
    SchemaPtr type = make_type(parts[0].substr(colon + 1));
    if (parts.size() > 1) {
      auto own = std::make_shared<Schema>(*type);
      for (std::size_t i = 1; i < parts.size(); ++i) add_option(*own, parts[i]);
      type = own;
    }
    owner.properties[name] = type;
  }

  static void add_enumeration(Schema& schema, const std::string& words) {
    if (schema.type == Schema::Type::kArray) {  // of the items
      auto items = std::make_shared<Schema>(*schema.items);
      add_enumeration(*items, words);
      schema.items = items;
      return;
    }
    for (const std::string& word : split(words, ',')) schema.enumeration.emplace_back(word);
  }

  static void add_option(Schema& schema, const std::string& option) {
    const auto equals = option.find('=');
    const std::string key = option.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : option.substr(equals + 1);
    if (key == "merge") {
      schema.patch_merge = true;
      schema.patch_merge_key = value;
    } else if (key == "retain") {
      schema.retain_keys = true;
    } else if (key == "map") {
      schema.list_type = "map";
      schema.list_map_keys = split(value, ',');
    } else if (key == "set") {
      schema.list_type = "set";
    } else if (key == "atomic") {
      (schema.type == Schema::Type::kArray ? schema.list_type : schema.map_type) = "atomic";
    } else if (key == "enum") {
      add_enumeration(schema, value);
    }
  }

  SchemaPtr make_type(const std::string& text) {
    if (text[0] == '@') return get(text.substr(1));
    auto schema = std::make_shared<Schema>();
    if (text.rfind("[]", 0) == 0) {
      schema->type = Schema::Type::kArray;
      schema->items = make_type(text.substr(2));
    } else if (text.rfind("{}", 0) == 0) {
      schema->type = Schema::Type::kObject;
      schema->additional = make_type(text.substr(2));
    } else if (text == "boolean") {
      schema->type = Schema::Type::kBoolean;
    } else if (text == "int32" || text == "int64") {
      schema->type = Schema::Type::kInteger;
      schema->format = text;
    } else if (text == "number") {
      schema->type = Schema::Type::kNumber;
      schema->format = "double";
    } else if (text == "intorstring") {
      schema->int_or_string = true;
      schema->type_name = "IntOrString";
    } else if (text == "any") {
      schema->preserve_unknown = true;
    } else {
      schema->type = Schema::Type::kString;
      if (text == "quantity") schema->type_name = "Quantity";
      schema->format = text == "bytes"       ? "byte"
                       : text == "time"      ? "date-time"
                       : text == "microtime" ? "date-time-micro"
                       : text == "quantity"  ? "quantity"
                                             : "";
    }
    return schema;
  }

  std::map<std::string, std::string> lines_;
  std::map<std::string, std::shared_ptr<Schema>> compiled_;
};

}  // namespace

SchemaPtr builtin_type(std::string_view name) {
  static Mutex mutex;
  static Types& types = *new Types;  // never destroyed: JSONSchemaProps refers to itself
  const MutexLock lock(mutex);
  return types.get(std::string(name));
}

SchemaPtr object_meta_schema() {
  static const SchemaPtr kMeta = builtin_type("ObjectMeta");
  return kMeta;
}

}  // namespace muster::local
