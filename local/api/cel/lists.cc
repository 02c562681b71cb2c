// local/api/cel/lists.cc: functions on lists, maps and optionals
#include <algorithm>

#include "local/api/cel/functions.h"

namespace muster::local::cel {
namespace {

Result<std::vector<Value>> items_of(const Value& list) {
  std::vector<Value> items;
  if (list.kind != Kind::kList) return no_overload();
  for (std::size_t i = 0; i < list.size(); ++i) {
    MUSTER_ASSIGN(Value item, list.item(i));
    items.push_back(std::move(item));
  }
  return items;
}

Result<bool> holds(const std::vector<Value>& items, const Value& wanted) {
  for (const Value& item : items) {
    MUSTER_ASSIGN(const bool same, equal(item, wanted));
    if (same) return true;
  }
  return false;
}

Result<bool> same_key(const Value& a, const Value& b, const Schema& schema) {
  for (const std::string& name : schema.list_map_keys) {
    const Value key = Value::of_text(name);
    MUSTER_ASSIGN(const auto left, a.find(key));
    MUSTER_ASSIGN(const auto right, b.find(key));
    if (left.has_value() != right.has_value()) return false;
    if (!left) continue;
    MUSTER_ASSIGN(const bool same, equal(*left, *right));
    if (!same) return false;
  }
  return true;
}

// Lists are appended; a set becomes a union, a list-map takes the items of the second by key.
Result<Value> add_lists(const Value& a, const Value& b) {
  MUSTER_ASSIGN(std::vector<Value> items, items_of(a));
  MUSTER_ASSIGN(const std::vector<Value> more, items_of(b));
  const Schema* schema = a.schema();
  for (const Value& item : more) {
    bool placed = false;
    if (schema != nullptr && schema->list_type == "set") {
      MUSTER_ASSIGN(placed, holds(items, item));
    } else if (schema != nullptr && schema->list_type == "map" && item.kind == Kind::kMap) {
      for (Value& own : items) {
        if (own.kind != Kind::kMap) continue;
        MUSTER_ASSIGN(const bool same, same_key(own, item, *schema));
        if (!same) continue;
        own = item;
        placed = true;
        break;
      }
    }
    if (!placed) items.push_back(item);
  }
  if (items.size() > kTextMax / 64) return invalid_argument("a list gets too long");
  return Value::of_list(std::move(items));
}

Result<Value> add(const Arguments& a) {
  if (a[0].kind == Kind::kList && a[1].kind == Kind::kList) return add_lists(a[0], a[1]);
  if (a[0].kind == a[1].kind && (a[0].kind == Kind::kString || a[0].kind == Kind::kBytes)) {
    if (a[0].text().size() + a[1].text().size() > kTextMax) return invalid_argument("a string gets too long");
    return Value::of_text(std::string(a[0].text()) + std::string(a[1].text()), a[0].kind);
  }
  return find_function("_plus_")(a);
}

Result<Value> contains_value(const Arguments& a) {
  if (a[1].kind == Kind::kMap) {
    MUSTER_ASSIGN(const auto found, a[1].find(a[0]));
    return Value::of_bool(found.has_value());
  }
  MUSTER_ASSIGN(const auto items, items_of(a[1]));
  MUSTER_ASSIGN(const bool found, holds(items, a[0]));
  return Value::of_bool(found);
}

Result<Value> size(const Arguments& a) {
  if (a[0].kind == Kind::kString) {
    const auto text = a[0].text();
    return Value::of_int(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  }
  if (a[0].kind == Kind::kBytes) return Value::of_int(static_cast<std::int64_t>(a[0].text().size()));
  if (a[0].kind == Kind::kList || a[0].kind == Kind::kMap)
    return Value::of_int(static_cast<std::int64_t>(a[0].size()));
  return no_overload();
}

Result<Value> extreme(const Arguments& a, int wanted) {
  MUSTER_ASSIGN(const auto items, items_of(a[0]));
  if (items.empty())
    return invalid_argument(wanted < 0 ? "min called on empty list" : "max called on empty list");
  Value best = items[0];
  for (const Value& item : items) {
    MUSTER_ASSIGN(const int order, compare(item, best));
    if (order == wanted) best = item;
  }
  return best;
}

Result<Value> is_sorted(const Arguments& a) {
  MUSTER_ASSIGN(const auto items, items_of(a[0]));
  for (std::size_t i = 1; i < items.size(); ++i) {
    MUSTER_ASSIGN(const int order, compare(items[i - 1], items[i]));
    if (order > 0) return Value::of_bool(false);
  }
  return Value::of_bool(true);
}

Result<Value> sum(const Arguments& a) {
  MUSTER_ASSIGN(const auto items, items_of(a[0]));
  if (items.empty()) return Value::of_int(0);
  Value total = items[0];
  for (std::size_t i = 1; i < items.size(); ++i) {
    MUSTER_ASSIGN(total, find_function("_plus_")({total, items[i]}));
  }
  return total;
}

Result<Value> index_of(const Arguments& a, bool last) {
  MUSTER_ASSIGN(const auto items, items_of(a[0]));
  std::int64_t at = -1;
  for (std::size_t i = 0; i < items.size() && (last || at < 0); ++i) {
    MUSTER_ASSIGN(const bool same, equal(items[i], a[1]));
    if (same) at = static_cast<std::int64_t>(i);
  }
  return Value::of_int(at);
}

Result<bool> covers(const Value& a, const Value& b) {
  MUSTER_ASSIGN(const auto whole, items_of(a));
  MUSTER_ASSIGN(const auto part, items_of(b));
  for (const Value& item : part) {
    MUSTER_ASSIGN(const bool there, holds(whole, item));
    if (!there) return false;
  }
  return true;
}

Result<Value> sets_contain(const Arguments& a) {
  MUSTER_ASSIGN(const bool all, covers(a[0], a[1]));
  return Value::of_bool(all);
}

Result<Value> sets_equal(const Arguments& a) {
  MUSTER_ASSIGN(const bool left, covers(a[0], a[1]));
  MUSTER_ASSIGN(const bool right, covers(a[1], a[0]));
  return Value::of_bool(left && right);
}

Result<Value> sets_intersect(const Arguments& a) {
  MUSTER_ASSIGN(const auto left, items_of(a[0]));
  MUSTER_ASSIGN(const auto right, items_of(a[1]));
  for (const Value& item : right) {
    MUSTER_ASSIGN(const bool there, holds(left, item));
    if (there) return Value::of_bool(true);
  }
  return Value::of_bool(false);
}

bool is_zero(const Value& value) {
  switch (value.kind) {
    case Kind::kNull: return true;
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kDuration: return value.number == 0;
    case Kind::kDouble: return value.real == 0;
    case Kind::kString:
    case Kind::kBytes: return value.text().empty();
    case Kind::kList:
    case Kind::kMap:
    case Kind::kOptional: return value.size() == 0;
    default: return false;
  }
}

Result<Value> optional_value(const Arguments& a) {
  if (a[0].kind != Kind::kOptional) return no_overload();
  if (a[0].size() == 0) return invalid_argument("optional.none() dereference");
  return a[0].item(0);
}

Result<Value> or_value(const Arguments& a) {
  if (a[0].kind != Kind::kOptional) return no_overload();
  if (a[0].size() == 0) return a[1];
  return a[0].item(0);
}

}  // namespace

const FunctionTable& list_functions() {
  static const FunctionTable kTable = {
      {"_+_", add},
      {"_in_", contains_value},
      {"size", size},
      {"min", [](const Arguments& a) { return extreme(a, -1); }},
      {"max", [](const Arguments& a) { return extreme(a, 1); }},
      {"isSorted", is_sorted},
      {"sum", sum},
      {"indexOf", [](const Arguments& a) { return index_of(a, false); }},
      {"lastIndexOf", [](const Arguments& a) { return index_of(a, true); }},
      {"sets.contains", sets_contain},
      {"sets.equivalent", sets_equal},
      {"sets.intersects", sets_intersect},
      {"optional.of", [](const Arguments& a) -> Result<Value> { return Value::some(a[0]); }},
      {"optional.ofNonZeroValue",
       [](const Arguments& a) -> Result<Value> { return is_zero(a[0]) ? Value::none() : Value::some(a[0]); }},
      {"optional.none", [](const Arguments&) -> Result<Value> { return Value::none(); }},
      {"hasValue",
       [](const Arguments& a) -> Result<Value> {
         if (a[0].kind != Kind::kOptional) return no_overload();
         return Value::of_bool(a[0].size() > 0);
       }},
      {"value", optional_value},
      {"orValue", or_value},
      {"or",
       [](const Arguments& a) -> Result<Value> {
         if (a[0].kind != Kind::kOptional) return no_overload();
         return a[0].size() > 0 ? a[0] : a[1];
       }},
  };
  return kTable;
}

}  // namespace muster::local::cel
