// local/api/schema_defaults.cc: defaulting and pruning, the two ways in which a schema changes an object
#include <fmt/format.h>

#include "local/api/schema.h"

namespace muster::local {
namespace {

void prune_value(Json& value, const Schema* schema, bool preserve, const std::string& path,
                 std::vector<std::string>& unknown);

void prune_object(Json& object, const Schema* schema, bool preserve, const std::string& path,
                  std::vector<std::string>& unknown) {
  for (auto it = object.begin(); it != object.end();) {
    const std::string member_path = join_path(path, it.key());
    const Schema* member = schema != nullptr ? schema->property(it.key()) : nullptr;
    const bool resource_field = schema != nullptr && schema->embedded_resource &&
                                (it.key() == "apiVersion" || it.key() == "kind" || it.key() == "metadata");
    if (member == nullptr && !preserve && !resource_field) {
      unknown.push_back(member_path);
      it = object.erase(it);
      continue;
    }
    if (member != nullptr) prune_value(it.value(), member, member->preserve_unknown, member_path, unknown);
    ++it;
  }
}

void prune_value(Json& value, const Schema* schema, bool preserve, const std::string& path,
                 std::vector<std::string>& unknown) {
  if (value.is_object()) {
    prune_object(value, schema, preserve || (schema != nullptr && schema->int_or_string), path, unknown);
  } else if (value.is_array()) {
    const Schema* items = schema != nullptr ? schema->items.get() : nullptr;
    const bool keep = items != nullptr ? items->preserve_unknown : preserve;
    for (std::size_t i = 0; i < value.size(); ++i)
      prune_value(value[i], items, keep, fmt::format("{}[{}]", path, i), unknown);
  }
}

}  // namespace

void prune(Json& object, const Schema& schema, std::vector<std::string>& unknown) {
  prune_value(object, &schema, schema.preserve_unknown, "", unknown);
}

void apply_defaults(Json& value, const Schema& schema) {
  if (value.is_object()) {
    for (const auto& [name, member] : schema.properties) {
      if (!member->default_value) continue;
      const auto it = value.find(name);
      if (it == value.end() || (it->is_null() && !member->nullable)) value[name] = *member->default_value;
    }
    for (auto& [name, member] : value.items())
      if (const Schema* type = schema.property(name)) {
        if (member.is_null() && type->default_value && !type->nullable) member = *type->default_value;
        apply_defaults(member, *type);
      }
  } else if (value.is_array() && schema.items) {
    for (Json& item : value) {
      if (item.is_null() && schema.items->default_value && !schema.items->nullable)
        item = *schema.items->default_value;
      apply_defaults(item, *schema.items);
    }
  }
}

void drop_nulls(Json& value, const Schema& schema) {
  if (value.is_object()) {
    for (auto it = value.begin(); it != value.end();) {
      const Schema* member = schema.property(it.key());
      if (member != nullptr && it->is_null() && !member->nullable && !member->default_value &&
          (member->type != Schema::Type::kAny || member->int_or_string)) {
        it = value.erase(it);
        continue;
      }
      if (member != nullptr) drop_nulls(it.value(), *member);
      ++it;
    }
  } else if (value.is_array() && schema.items) {
    for (Json& item : value) drop_nulls(item, *schema.items);
  }
}

void fill_null_items(Json& value, const Schema& schema) {
  if (value.is_object()) {
    for (auto& [name, member] : value.items())
      if (const Schema* of = schema.property(name)) fill_null_items(member, *of);
  } else if (value.is_array() && schema.items) {
    for (Json& item : value) {
      if (item.is_null() && schema.items->type == Schema::Type::kObject) item = Json::object();
      fill_null_items(item, *schema.items);
    }
  }
}

}  // namespace muster::local
