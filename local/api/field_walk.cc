// local/api/field_walk.cc: walking objects by their schema: which fields, what differs, how two merge
#include <fmt/format.h>

#include <algorithm>

#include "local/api/field_set.h"

namespace muster::local {
namespace {

// What a value is to field management. Values without a type are maps of such values, or taken as a whole.
enum class Shape { kLeaf, kObject, kListMap, kSet };

Shape shape_of(const Json& value, const Schema* schema) {
  if (value.is_object()) {
    if (schema != nullptr && schema->map_type == "atomic") return Shape::kLeaf;
    return Shape::kObject;
  }
  if (value.is_array() && schema != nullptr) {
    if (schema->list_type == "map" && !schema->list_map_keys.empty()) return Shape::kListMap;
    if (schema->list_type == "set") return Shape::kSet;
  }
  return Shape::kLeaf;
}

const Schema* member_type(const Schema* schema, const std::string& name, bool& declared) {
  declared = false;
  if (schema == nullptr) return nullptr;
  const auto it = schema->properties.find(name);
  declared = it != schema->properties.end();
  return declared ? it->second.get() : schema->additional.get();
}

std::string item_step(const Json& item, const Schema& schema) {
  if (schema.list_type == "set") return "v:" + item.dump();
  Json keys = Json::object();
  for (const std::string& name : schema.list_map_keys) {
    if (item.is_object() && item.contains(name)) {
      keys[name] = item[name];
    } else if (schema.items) {  // an absent key has its default
      const Schema* type = schema.items->property(name);
      if (type != nullptr && type->default_value)
        keys[name] = *type->default_value;
      else if (name == "protocol")
        keys[name] = "TCP";
    }
  }
  return "k:" + keys.dump();
}

const Schema* items_of(const Schema* schema) { return schema == nullptr ? nullptr : schema->items.get(); }

void collect(const Json& value, const Schema* schema, FieldSet& set) {
  switch (shape_of(value, schema)) {
    case Shape::kLeaf: set.member = true; break;
    case Shape::kObject:
      for (const auto& [name, member] : value.items()) {
        bool declared = false;
        const Schema* type = member_type(schema, name, declared);
        FieldSet& child = set.children["f:" + name];
        collect(member, type, child);
        if (!declared || member.is_null() || (member.is_object() && member.empty())) child.member = true;
      }
      break;
    case Shape::kListMap:
    case Shape::kSet:
      for (const Json& item : value) {
        FieldSet& child = set.children[item_step(item, *schema)];
        collect(item, items_of(schema), child);
        child.member = true;
      }
      break;
  }
}

// Marks a value that is only on one side: every path in it, and itself.
void mark(const Json& value, const Schema* schema, FieldSet& set) {
  set.member = true;
  switch (shape_of(value, schema)) {
    case Shape::kLeaf: break;
    case Shape::kObject:
      for (const auto& [name, member] : value.items()) {
        bool declared = false;
        mark(member, member_type(schema, name, declared), set.children["f:" + name]);
      }
      break;
    case Shape::kListMap:
    case Shape::kSet:
      for (const Json& item : value) mark(item, items_of(schema), set.children[item_step(item, *schema)]);
      break;
  }
}

void tidy(FieldSet& set) {
  for (auto it = set.children.begin(); it != set.children.end();) {
    tidy(it->second);
    it = it->second.empty() ? set.children.erase(it) : std::next(it);
  }
}

void compare(const Json& before, const Json& after, const Schema* schema, FieldSet& added, FieldSet& modified,
             FieldSet& removed);

void compare_items(const Json& before, const Json& after, const Schema& schema, FieldSet& added,
                   FieldSet& modified, FieldSet& removed) {
  std::map<std::string, const Json*> old_items, new_items;
  for (const Json& item : before) old_items.emplace(item_step(item, schema), &item);
  for (const Json& item : after) new_items.emplace(item_step(item, schema), &item);
  for (const auto& [step, item] : new_items) {
    const auto it = old_items.find(step);
    if (it == old_items.end())
      mark(*item, items_of(&schema), added.children[step]);
    else
      compare(*it->second, *item, items_of(&schema), added.children[step], modified.children[step],
              removed.children[step]);
  }
  for (const auto& [step, item] : old_items)
    if (!new_items.count(step)) mark(*item, items_of(&schema), removed.children[step]);
}

void compare(const Json& before, const Json& after, const Schema* schema, FieldSet& added, FieldSet& modified,
             FieldSet& removed) {
  if (before == after) return;
  const Shape shape = shape_of(after, schema);
  if (shape == Shape::kLeaf || shape != shape_of(before, schema)) {
    modified.member = true;
    return;
  }
  if (shape != Shape::kObject) {
    compare_items(before, after, *schema, added, modified, removed);
    return;
  }
  for (const auto& [name, value] : after.items()) {
    bool declared = false;
    const Schema* type = member_type(schema, name, declared);
    const std::string step = "f:" + name;
    const auto it = before.find(name);
    if (it == before.end())
      mark(value, type, added.children[step]);
    else
      compare(*it, value, type, added.children[step], modified.children[step], removed.children[step]);
  }
  for (const auto& [name, value] : before.items()) {
    bool declared = false;
    if (!after.contains(name))
      mark(value, member_type(schema, name, declared), removed.children["f:" + name]);
  }
}

Json merge(const Json& live, const Json& config, const Schema* schema);

Json merge_items(const Json& live, const Json& config, const Schema& schema) {
  const auto find = [&](const Json& list, const std::string& step) -> const Json* {
    for (const Json& item : list)
      if (item_step(item, schema) == step) return &item;
    return nullptr;
  };
  Json merged = Json::array();
  std::size_t l = 0, r = 0;
  while (l < live.size() || r < config.size()) {
    if (l < live.size()) {
      const std::string step = item_step(live[l], schema);
      if (find(config, step) == nullptr) {
        merged.push_back(live[l++]);
        continue;
      }
      if (r >= config.size() ||
          find(merged, step) != nullptr) {  // merged already, where the configuration has it
        ++l;
        continue;
      }
    }
    const std::string step = item_step(config[r], schema);
    const Json* other = find(live, step);
    merged.push_back(other == nullptr ? config[r] : merge(*other, config[r], items_of(&schema)));
    ++r;
  }
  return merged;
}

Json merge(const Json& live, const Json& config, const Schema* schema) {
  const Shape shape = shape_of(config, schema);
  if (shape == Shape::kLeaf || live.type() != config.type()) return config;
  if (shape != Shape::kObject) return merge_items(live, config, *schema);
  Json merged = live;
  for (const auto& [name, value] : config.items()) {
    bool declared = false;
    const Schema* type = member_type(schema, name, declared);
    merged[name] = merged.contains(name) ? merge(merged[name], value, type) : value;
  }
  return merged;
}

bool protected_field(const std::string& name) {
  return name == "apiVersion" || name == "kind" || name == "metadata";
}

}  // namespace

FieldSet fields_of(const Json& object, const Schema& schema) {
  FieldSet set;
  collect(object, &schema, set);
  set.member = false;
  return set;
}

Comparison compare_objects(const Json& before, const Json& after, const Schema& schema) {
  Comparison comparison;
  compare(before, after, &schema, comparison.added, comparison.modified, comparison.removed);
  for (FieldSet* set : {&comparison.added, &comparison.modified, &comparison.removed}) tidy(*set);
  return comparison;
}

Json merge_applied(const Json& live, const Json& config, const Schema& schema) {
  return merge(live, config, &schema);
}

void remove_fields(Json& object, const Schema& schema, const FieldSet& last, const FieldSet& kept) {
  const Shape shape = shape_of(object, &schema);
  if (shape == Shape::kLeaf) return;
  static const FieldSet kNothing;
  static const Schema kUntyped;
  for (const auto& [step, child] : last.children) {
    const auto found = kept.children.find(step);
    const FieldSet& kept_child = found == kept.children.end() ? kNothing : found->second;
    if (shape == Shape::kObject) {
      const std::string name = step.substr(2);
      const auto it = object.find(name);
      if (it == object.end()) continue;
      bool declared = false;
      const Schema* type = member_type(&schema, name, declared);
      if (found == kept.children.end() && !protected_field(name))
        object.erase(it);
      else
        remove_fields(*it, type == nullptr ? kUntyped : *type, child, kept_child);
      continue;
    }
    for (auto it = object.begin(); it != object.end(); ++it) {
      if (item_step(*it, schema) != step) continue;
      if (found == kept.children.end() && child.member)
        object.erase(it);
      else if (schema.items)
        remove_fields(*it, *schema.items, child, kept_child);
      break;
    }
  }
}

namespace {

// What is wrong with the type of a value, in the words of structured-merge-diff; empty if nothing is.
std::string wrong_type(const Json& value, const Schema& schema) {
  if (value.is_null() || schema.int_or_string || schema.format == "quantity") return {};
  const std::string shown = value.is_primitive() && !value.is_string() ? value.dump() : go_value(value);
  switch (schema.type) {
    case Schema::Type::kString:
      if (value.is_string()) return {};
      return fmt::format("expected string, got &value.valueUnstructured{{Value:{}}}", shown);
    case Schema::Type::kBoolean:
      if (value.is_boolean()) return {};
      return fmt::format("expected boolean, got &value.valueUnstructured{{Value:{}}}", shown);
    case Schema::Type::kInteger:
    case Schema::Type::kNumber:
      return value.is_number() ? "" : "expected numeric (int or float), got *value.valueUnstructured";
    case Schema::Type::kArray:
      return value.is_array() ? "" : fmt::format("expected list, got &{{{}}}", shown);
    case Schema::Type::kObject:
      return value.is_object() ? "" : fmt::format("expected map, got &{{{}}}", shown);
    case Schema::Type::kAny: break;
  }
  return {};
}

}  // namespace

std::string undeclared_field(const Json& config, const Schema& schema, const std::string& prefix) {
  if (const std::string wrong = schema.preserve_unknown ? "" : wrong_type(config, schema); !wrong.empty())
    return prefix + ": " + wrong;
  if (config.is_object()) {
    for (const auto& [name, value] : config.items()) {
      const Schema* type = schema.property(name);
      if (type == nullptr && !schema.preserve_unknown)
        return fmt::format("{}.{}: field not declared in schema", prefix, name);
      if (type != nullptr)
        if (std::string found = undeclared_field(value, *type, fmt::format("{}.{}", prefix, name));
            !found.empty())
          return found;
    }
  } else if (config.is_array() && schema.items) {
    for (const Json& item : config) {
      std::string at = prefix + "[";
      if (schema.list_type == "map")
        for (const std::string& key : schema.list_map_keys) {
          if (!item.is_object()) continue;
          if (item.contains(key))
            at += fmt::format("{}{}={}", at.back() == '[' ? "" : ",", key, item[key].dump());
          else if (key != "protocol" &&
                   !(schema.items->property(key) != nullptr && schema.items->property(key)->default_value))
            return fmt::format(
                "{}: element 0: associative list with keys has an element that omits key field \"{}\" (and "
                "doesn't have default value)",
                prefix, key);
        }
      if (std::string found = undeclared_field(item, *schema.items, at + "]"); !found.empty()) return found;
    }
  }
  return {};
}

}  // namespace muster::local
