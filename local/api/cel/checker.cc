// local/api/cel/checker.cc: static types of an expression
#include "local/api/cel/checker.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace muster::local::cel {
namespace {

TypePtr simple(std::string name) {
  auto type = std::make_shared<Type>();
  type->name = std::move(name);
  return type;
}
TypePtr generic(std::string name, std::vector<TypePtr> of) {
  auto type = std::make_shared<Type>();
  type->name = std::move(name);
  type->of = std::move(of);
  return type;
}
const TypePtr& dyn() {
  static const TypePtr kDyn = simple("dyn");
  return kDyn;
}
const TypePtr& boolean() {
  static const TypePtr kBool = simple("bool");
  return kBool;
}

bool is_parameter(const Type& type) {
  return type.name.size() == 1 && type.name[0] >= 'A' && type.name[0] <= 'Z';
}
bool is_null(const Type& type) { return type.name == "null_type"; }
// null fits where the language has a message: not numbers, texts, booleans, lists, maps.
bool takes_null(const Type& type) { return type.name == "object"; }

using Bindings = std::map<std::string, TypePtr>;

// True if a value of type `given` may stand where `wanted` is asked for; parameters are bound on the way.
bool fits(const Type& wanted, const TypePtr& given, Bindings& bound) {
  if (is_parameter(wanted)) {
    auto [it, fresh] = bound.try_emplace(wanted.name, given);
    if (fresh || it->second->name == "dyn") return true;
    if (given->name == "dyn" || it->second->name == "?" || (is_null(*it->second) && takes_null(*given))) {
      it->second = given;
      return true;
    }
    return fits(*it->second, given, bound);
  }
  if (wanted.name == "dyn" || wanted.name == "?" || given->name == "dyn" || given->name == "?") return true;
  if (is_null(*given) && takes_null(wanted)) return true;
  if (wanted.name != given->name || wanted.of.size() != given->of.size()) return false;
  if (wanted.name == "object" && wanted.schema != given->schema) return false;
  for (std::size_t i = 0; i < wanted.of.size(); ++i)
    if (!fits(*wanted.of[i], given->of[i], bound)) return false;
  return true;
}

TypePtr substituted(const TypePtr& type, const Bindings& bound) {
  if (is_parameter(*type)) {
    const auto it = bound.find(type->name);
    return it == bound.end() || it->second->name == "?" ? dyn() : it->second;
  }
  if (type->of.empty()) return type;
  auto copy = std::make_shared<Type>(*type);
  for (TypePtr& part : copy->of) part = substituted(part, bound);
  return copy;
}

const Schema& resource_metadata() {
  static const Schema kMetadata = [] {
    auto text = std::make_shared<Schema>();
    text->type = Schema::Type::kString;
    Schema metadata;
    metadata.type = Schema::Type::kObject;
    metadata.properties = {{"name", text}, {"generateName", text}};
    return metadata;
  }();
  return kMetadata;
}

class Checker {
 public:
  Checker(const Scope& scope, std::string_view text) : text_(text) {
    const TypePtr self = scope.self == nullptr ? dyn() : type_of_schema(*scope.self, scope.root);
    names_.emplace_back("self", self ? self : dyn());
    names_.emplace_back("oldSelf", names_[0].second);
  }

  Result<TypePtr> check(const Node& node) {
    switch (node.kind) {
      case Node::Kind::kLiteral: return literal(node);
      case Node::Kind::kName: return name(node);
      case Node::Kind::kSelect: return select(node);
      case Node::Kind::kHas: {
        MUSTER_ASSIGN(const TypePtr unused, select(node));
        static_cast<void>(unused);
        return boolean();
      }
      case Node::Kind::kIndex: return index(node);
      case Node::Kind::kList: return list(node);
      case Node::Kind::kMap: return map(node);
      case Node::Kind::kMacro: return macro(node);
      case Node::Kind::kCall: return call(node);
    }
    return dyn();
  }

 private:
  Error fail(const Node& node, std::string_view message) const { return located(text_, node.at, message); }

  static TypePtr literal(const Node& node) { return simple(type_name(node.literal)); }

  Result<TypePtr> name(const Node& node) const {
    for (auto it = names_.rbegin(); it != names_.rend(); ++it)
      if (it->first == node.text) return it->second;
    for (const char* type :
         {"int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"})
      if (node.text == type) return simple("type");
    return fail(node, fmt::format("undeclared reference to '{}' (in container '')", node.text));
  }

  Result<TypePtr> field(const Node& node, const Type& target) const {
    if (target.name == "dyn" || target.name == "?") return dyn();
    if (target.name == "map") return target.of[1];
    if (target.name != "object")
      return fail(node, fmt::format("type '{}' does not support field selection", type_text(target)));
    if (target.root && (node.text == "apiVersion" || node.text == "kind")) return simple("string");
    if (target.root && node.text == "metadata") return type_of_schema(resource_metadata(), false);
    for (const auto& [property, schema] : target.schema->properties)
      if (escape_field(property) == node.text)
        if (TypePtr type = type_of_schema(*schema, schema->embedded_resource)) return type;
    return fail(node, fmt::format("undefined field '{}'", node.text));
  }

  Result<TypePtr> select(const Node& node) {
    MUSTER_ASSIGN(const TypePtr target, check(*node.parts[0]));
    return field(node, *target);
  }

  Result<TypePtr> index(const Node& node) {
    MUSTER_ASSIGN(const TypePtr target, check(*node.parts[0]));
    MUSTER_ASSIGN(const TypePtr key, check(*node.parts[1]));
    Bindings bound;
    if (target->name == "dyn" || target->name == "?") return dyn();
    if (target->name == "list" && fits(*simple("int"), key, bound)) return target->of[0];
    if (target->name == "map" && fits(*target->of[0], key, bound)) return target->of[1];
    return fail(node, fmt::format("found no matching overload for '_[_]' applied to '({}, {})'",
                                  type_text(*target), type_text(*key)));
  }

  // Literals hold elements of one type.
  Result<TypePtr> element(const Node& node, TypePtr& common) {
    MUSTER_ASSIGN(TypePtr type, check(node));
    Bindings bound;
    if (!common || common->name == "?")
      common = type;
    else if (!fits(*common, type, bound))
      return fail(node,
                  fmt::format("expected type '{}' but found '{}'", type_text(*common), type_text(*type)));
    return type;
  }

  Result<TypePtr> list(const Node& node) {
    TypePtr common;
    for (const auto& part : node.parts) {
      MUSTER_ASSIGN(const TypePtr unused, element(*part, common));
      static_cast<void>(unused);
    }
    return generic("list", {common ? common : simple("?")});
  }

  Result<TypePtr> map(const Node& node) {
    TypePtr keys, values;
    for (std::size_t i = 0; i + 1 < node.parts.size(); i += 2) {
      MUSTER_ASSIGN(const TypePtr key, element(*node.parts[i], keys));
      MUSTER_ASSIGN(const TypePtr value, element(*node.parts[i + 1], values));
      static_cast<void>(key);
      static_cast<void>(value);
    }
    return generic("map", {keys ? keys : simple("?"), values ? values : simple("?")});
  }

  Result<TypePtr> macro(const Node& node) {
    MUSTER_ASSIGN(const TypePtr range, check(*node.parts[0]));
    const bool known = range->name == "list" || range->name == "map";
    if (!known && range->name != "dyn" && range->name != "?")
      return fail(*node.parts[0],
                  fmt::format("expression of type '{}' cannot be range of a comprehension (must be "
                              "list, map, or dynamic)",
                              type_text(*range)));
    const TypePtr item = known ? range->of[0] : dyn();
    names_.emplace_back(node.variable, item->name == "?" ? dyn() : item);
    auto type = macro_body(node, item);
    names_.pop_back();
    return type;
  }

  Result<TypePtr> macro_body(const Node& node, const TypePtr& item) {
    std::vector<TypePtr> types;
    for (std::size_t i = 1; i < node.parts.size(); ++i) {
      MUSTER_ASSIGN(TypePtr type, check(*node.parts[i]));
      types.push_back(std::move(type));
    }
    if (node.text != "map" || types.size() == 2) {
      Bindings bound;
      if (!fits(*boolean(), types[0], bound))
        return fail(*node.parts[1],
                    fmt::format("found no matching overload for '_&&_' applied to '(bool, {})'",
                                type_text(*types[0])));
    }
    if (node.text == "filter") return generic("list", {item});
    if (node.text == "map") return generic("list", {types.back()});
    return boolean();
  }

  Result<TypePtr> call(const Node& node) {
    const std::vector<Overload>* overloads = overloads_of(node.text);
    if (overloads == nullptr)
      return fail(node,
                  fmt::format("undeclared reference to '{}' (in container ''): this server does not know the "
                              "function {}()",
                              node.text, node.text));
    std::vector<TypePtr> given;
    for (const auto& part : node.parts) {
      MUSTER_ASSIGN(TypePtr type, check(*part));
      given.push_back(std::move(type));
    }
    TypePtr result;
    for (const Overload& overload : *overloads) {
      Bindings bound;
      if (overload.method != node.method || overload.arguments.size() != given.size()) continue;
      bool good = true;
      for (std::size_t i = 0; good && i < given.size(); ++i)
        good = fits(*overload.arguments[i], given[i], bound);
      if (!good) continue;
      const TypePtr type = substituted(overload.result, bound);
      if (!result)
        result = type;
      else if (type_text(*result) != type_text(*type))
        result = dyn();
    }
    if (result) return result;
    return fail(node, fmt::format("found no matching overload for '{}' applied to '{}'", node.text,
                                  arguments_text(node, given)));
  }

  static std::string arguments_text(const Node& node, const std::vector<TypePtr>& given) {
    std::string text;
    for (std::size_t i = node.method ? 1 : 0; i < given.size(); ++i)
      text += (text.empty() ? "" : ", ") + type_text(*given[i]);
    return (node.method ? type_text(*given[0]) + "." : "") + "(" + text + ")";
  }

  std::string_view text_;
  std::vector<std::pair<std::string, TypePtr>> names_;
};

}  // namespace

TypePtr type_of_schema(const Schema& schema, bool root) {
  if (schema.int_or_string) return dyn();
  switch (schema.type) {
    case Schema::Type::kArray: {
      if (!schema.items) return nullptr;
      const TypePtr items = type_of_schema(*schema.items, schema.items->embedded_resource);
      return items ? generic("list", {items}) : nullptr;
    }
    case Schema::Type::kObject: {
      if (schema.additional) {
        const TypePtr values = type_of_schema(*schema.additional, schema.additional->embedded_resource);
        return values ? generic("map", {simple("string"), values}) : nullptr;
      }
      auto type = std::make_shared<Type>();
      type->name = "object";
      type->schema = &schema;
      type->root = root;
      return type;
    }
    case Schema::Type::kString:
      // Bytes, durations and times have types of their own in a cluster; rules on them are refused here.
      for (const char* format : {"byte", "duration", "date", "date-time"})
        if (schema.format == format) return nullptr;
      return simple("string");
    case Schema::Type::kBoolean: return boolean();
    case Schema::Type::kNumber: return simple("double");
    case Schema::Type::kInteger: return simple("int");
    case Schema::Type::kAny: break;
  }
  return nullptr;
}

std::string type_text(const Type& type) {
  if (type.of.empty()) return type.name == "?" ? "dyn" : type.name;
  std::string text;
  for (const TypePtr& part : type.of) text += (text.empty() ? "" : ", ") + type_text(*part);
  return type.name + "(" + text + ")";
}

Result<TypePtr> check_types(const Node& root, const Scope& scope, std::string_view text) {
  return Checker(scope, text).check(root);
}

}  // namespace muster::local::cel
