// local/api/cel/value.cc: values, borrowed from JSON or made, and how they compare
#include "local/api/cel/value.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace muster::local::cel {
namespace {

constexpr std::int64_t kStepsMax = 1'000'000;  // of one comparison that nobody counts

const Schema* member_schema(const Schema* schema, const std::string& name) {
  return schema == nullptr ? nullptr : schema->property(name);
}

int sign(double a, double b) { return a < b ? -1 : b < a ? 1 : 0; }

int compare_numbers(const Value& a, const Value& b) {
  if (a.kind == Kind::kDouble || b.kind == Kind::kDouble) return sign(a.as_double(), b.as_double());
  if (a.kind == b.kind && a.kind == Kind::kInt) return a.number < b.number ? -1 : a.number > b.number ? 1 : 0;
  if (a.kind == Kind::kInt && a.number < 0) return -1;
  if (b.kind == Kind::kInt && b.number < 0) return 1;
  return a.uint() < b.uint() ? -1 : a.uint() > b.uint() ? 1 : 0;
}

Result<bool> equal_maps(const Value& a, const Value& b, std::int64_t& steps) {
  if (a.size() != b.size()) return false;
  for (const Value& key : a.keys()) {
    steps -= a.find_steps() + b.find_steps();
    if (steps < 0) return too_costly();
    MUSTER_ASSIGN(const auto left, a.find(key));
    MUSTER_ASSIGN(const auto right, b.find(key));
    if (!left || !right) return false;
    MUSTER_ASSIGN(const bool same, equal(*left, *right, steps));
    if (!same) return false;
  }
  return true;
}

// Sets, and list-maps, of the same size: each item of `a` is in `b`, wherever; most likely at the same place.
Result<bool> equal_unordered(const Value& a, const Value& b, std::int64_t& steps) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Value item = a.item(i);
    bool found = false;
    for (std::size_t k = 0; k < b.size() && !found; ++k) {
      const Value other = b.item((i + k) % b.size());
      MUSTER_ASSIGN(found, equal(item, other, steps));
    }
    if (!found) return false;
  }
  return true;
}

Result<bool> equal_lists(const Value& a, const Value& b, std::int64_t& steps) {
  if (a.size() != b.size()) return false;
  const Schema* schema = a.schema() != nullptr ? a.schema() : b.schema();
  if (schema != nullptr && (schema->list_type == "set" || schema->list_type == "map"))
    return equal_unordered(a, b, steps);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Value left = a.item(i);
    const Value right = b.item(i);
    MUSTER_ASSIGN(const bool same, equal(left, right, steps));
    if (!same) return false;
  }
  return true;
}

void weigh_json(const Json& json, std::int64_t& steps) {
  --steps;
  if (json.is_string()) steps -= static_cast<std::int64_t>(json.get_ref<const std::string&>().size() / 64);
  if (!json.is_structured()) return;
  for (const Json& member : json) {
    if (steps < 0) return;
    weigh_json(member, steps);
  }
}

}  // namespace

Value Value::of_bool(bool value) {
  Value made;
  made.kind = Kind::kBool;
  made.number = value ? 1 : 0;
  return made;
}
Value Value::of_int(std::int64_t value) {
  Value made;
  made.kind = Kind::kInt;
  made.number = value;
  return made;
}
Value Value::of_uint(std::uint64_t value) {
  Value made;
  made.kind = Kind::kUint;
  made.number = static_cast<std::int64_t>(value);
  return made;
}
Value Value::of_double(double value) {
  Value made;
  made.kind = Kind::kDouble;
  made.real = value;
  return made;
}
Value Value::of_text(std::string text, Kind kind) {
  Value made;
  made.kind = kind;
  made.owned_ = std::make_shared<const std::string>(std::move(text));
  return made;
}
Value Value::of_list(std::vector<Value> items) {
  Value made;
  made.kind = Kind::kList;
  made.items_ = std::make_shared<const std::vector<Value>>(std::move(items));
  return made;
}
Value Value::of_map(std::vector<Value> keys_and_values) {
  Value made = of_list(std::move(keys_and_values));
  made.kind = Kind::kMap;
  return made;
}
Value Value::of_json(const Json& json, const Schema* schema) {
  Value value;
  switch (json.type()) {
    case Json::value_t::boolean: return of_bool(json.get<bool>());
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      if (schema != nullptr && schema->type == Schema::Type::kNumber) return of_double(json.get<double>());
      return of_int(json.get<std::int64_t>());
    case Json::value_t::number_float:
      value = of_double(json.get<double>());
      value.misplaced = schema != nullptr && schema->type == Schema::Type::kInteger;
      return value;
    case Json::value_t::string:
      value.kind = Kind::kString;
      value.borrowed_ = json.get_ref<const std::string&>();
      return value;
    case Json::value_t::array:
    case Json::value_t::object:
      value.kind = json.is_array() ? Kind::kList : Kind::kMap;
      value.json_ = &json;
      value.schema_ = schema;
      return value;
    default: return value;
  }
}

double Value::as_double() const {
  if (kind == Kind::kDouble) return real;
  return kind == Kind::kUint ? static_cast<double>(uint()) : static_cast<double>(number);
}

std::size_t Value::size() const {
  if (json_ != nullptr) return json_->size();
  if (!items_) return 0;
  return kind == Kind::kMap ? items_->size() / 2 : items_->size();
}

Value Value::item(std::size_t index) const {
  if (json_ == nullptr) return (*items_)[index];
  return of_json((*json_)[index], schema_ == nullptr ? nullptr : schema_->items.get());
}

Result<std::optional<Value>> Value::find(const Value& key) const {
  if (json_ != nullptr) {
    if (key.kind != Kind::kString) return std::optional<Value>();
    const std::string name(key.text());
    const auto it = json_->find(name);
    if (it == json_->end()) return std::optional<Value>();
    return std::optional<Value>(of_json(*it, member_schema(schema_, name)));
  }
  for (std::size_t i = 0; items_ && i + 1 < items_->size(); i += 2) {
    MUSTER_ASSIGN(const bool same, equal((*items_)[i], key));
    if (same) return std::optional<Value>((*items_)[i + 1]);
  }
  return std::optional<Value>();
}

std::vector<Value> Value::keys() const {
  std::vector<Value> keys;
  if (json_ != nullptr) {
    for (const auto& [name, value] : json_->items()) keys.push_back(of_text(name));
  } else if (items_) {
    for (std::size_t i = 0; i + 1 < items_->size(); i += 2) keys.push_back((*items_)[i]);
  }
  return keys;
}

void Value::weigh(std::int64_t& steps) const {
  if (json_ != nullptr) return weigh_json(*json_, steps);
  steps -= 1 + static_cast<std::int64_t>(text().size() / 64);
  if (!items_) return;
  for (const Value& item : *items_) {
    if (steps < 0) return;
    item.weigh(steps);
  }
}

Result<bool> equal(const Value& a, const Value& b) {
  std::int64_t steps = kStepsMax;
  return equal(a, b, steps);
}

Result<bool> equal(const Value& a, const Value& b, std::int64_t& steps) {
  steps -= 1 + static_cast<std::int64_t>(std::min(a.text().size(), b.text().size()) / 64);
  if (steps < 0) return too_costly();
  if (a.is_number() && b.is_number())
    return !(std::isnan(a.as_double()) || std::isnan(b.as_double())) && compare_numbers(a, b) == 0;
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kNull: return true;
    case Kind::kBool: return a.number == b.number;
    case Kind::kList: return equal_lists(a, b, steps);
    case Kind::kMap: return equal_maps(a, b, steps);
    default: return a.text() == b.text();
  }
}

Result<int> compare(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return compare_numbers(a, b);
  if (a.kind != b.kind) return no_overload();
  switch (a.kind) {
    case Kind::kBool: return a.number < b.number ? -1 : a.number > b.number ? 1 : 0;
    case Kind::kString:
    case Kind::kBytes: {
      const int order = a.text().compare(b.text());
      return order < 0 ? -1 : order > 0 ? 1 : 0;
    }
    default: return no_overload();
  }
}

std::string type_name(const Value& value) {
  switch (value.kind) {
    case Kind::kNull: return "null_type";
    case Kind::kBool: return "bool";
    case Kind::kInt: return "int";
    case Kind::kUint: return "uint";
    case Kind::kDouble: return "double";
    case Kind::kString: return "string";
    case Kind::kBytes: return "bytes";
    case Kind::kList: return "list";
    case Kind::kMap: return "map";
    case Kind::kType: return "type";
  }
  return "";
}

std::string escape_field(std::string_view name) {
  static const std::array<std::string_view, 17> kReserved = {
      "true", "false",    "null", "in",     "as",  "break", "const",   "continue", "else",
      "for",  "function", "if",   "import", "let", "loop",  "package", "namespace"};
  if (std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end() || name == "return" ||
      name == "var" || name == "void" || name == "while")
    return "__" + std::string(name) + "__";
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '_' && i + 1 < name.size() && name[i + 1] == '_') {
      out += "__underscores__";
      ++i;
    } else if (name[i] == '.') {
      out += "__dot__";
    } else if (name[i] == '-') {
      out += "__dash__";
    } else if (name[i] == '/') {
      out += "__slash__";
    } else {
      out += name[i];
    }
  }
  return out;
}

}  // namespace muster::local::cel
