// local/api/cel/functions.cc: operators, conversions, and the functions on texts and lists
#include "local/api/cel/functions.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

namespace muster::local::cel {
namespace {

Error overflow(std::string_view type = "integer") {
  return invalid_argument(std::string(type) + " overflow");
}

Result<Value> int_result(std::int64_t value) { return Value::of_int(value); }

Result<Value> int_arithmetic(char op, std::int64_t x, std::int64_t y) {
  std::int64_t result = 0;
  switch (op) {
    case '+': return __builtin_add_overflow(x, y, &result) ? Result<Value>(overflow()) : int_result(result);
    case '-': return __builtin_sub_overflow(x, y, &result) ? Result<Value>(overflow()) : int_result(result);
    case '*': return __builtin_mul_overflow(x, y, &result) ? Result<Value>(overflow()) : int_result(result);
    default: break;
  }
  if (y == 0) return invalid_argument(op == '/' ? "division by zero" : "modulus by zero");
  if (y == -1) return op == '%' ? int_result(0) : int_arithmetic('-', 0, x);
  return int_result(op == '/' ? x / y : x % y);
}

Result<Value> uint_arithmetic(char op, std::uint64_t x, std::uint64_t y) {
  std::uint64_t result = 0;
  const auto made = [&](bool broken) {
    return broken ? Result<Value>(overflow("unsigned integer")) : Result<Value>(Value::of_uint(result));
  };
  switch (op) {
    case '+': return made(__builtin_add_overflow(x, y, &result));
    case '-': return made(__builtin_sub_overflow(x, y, &result));
    case '*': return made(__builtin_mul_overflow(x, y, &result));
    default: break;
  }
  if (y == 0) return invalid_argument(op == '/' ? "division by zero" : "modulus by zero");
  return Value::of_uint(op == '/' ? x / y : x % y);
}

Result<Value> arithmetic(char op, const Value& a, const Value& b) {
  if (a.kind == Kind::kInt && b.kind == Kind::kInt) return int_arithmetic(op, a.number, b.number);
  if (a.kind == Kind::kUint && b.kind == Kind::kUint) return uint_arithmetic(op, a.uint(), b.uint());
  if (a.kind == Kind::kDouble && b.kind == Kind::kDouble && op != '%') {
    const double x = a.real, y = b.real;
    return Value::of_double(op == '+' ? x + y : op == '-' ? x - y : op == '*' ? x * y : x / y);
  }
  return no_overload();
}

Result<Value> negated(const Arguments& a) {
  if (a[0].kind == Kind::kInt) return int_arithmetic('-', 0, a[0].number);
  if (a[0].kind == Kind::kDouble) return Value::of_double(-a[0].real);
  return no_overload();
}

template <typename Accept>
Result<Value> ordered(const Arguments& a, Accept accept) {
  MUSTER_ASSIGN(const int order, compare(a[0], a[1]));
  return Value::of_bool(accept(order));
}

Error conversion(std::string_view from, std::string_view to) {
  return invalid_argument(fmt::format("type conversion error from '{}' to '{}'", from, to));
}

template <typename Number>
std::optional<Number> parsed(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

Result<Value> to_int(const Arguments& a) {
  switch (a[0].kind) {
    case Kind::kInt: return a[0];
    case Kind::kUint: return a[0].number < 0 ? Result<Value>(overflow()) : Value::of_int(a[0].number);
    case Kind::kDouble:
      if (!(std::abs(a[0].real) < 9.2233720368547748e18)) return overflow();
      return Value::of_int(static_cast<std::int64_t>(a[0].real));
    case Kind::kString:
      if (const auto value = parsed<std::int64_t>(a[0].text())) return Value::of_int(*value);
      return conversion("string", "int");
    default: return no_overload();
  }
}

Result<Value> to_uint(const Arguments& a) {
  switch (a[0].kind) {
    case Kind::kUint: return a[0];
    case Kind::kInt:
      return a[0].number < 0 ? Result<Value>(overflow("unsigned integer")) : Value::of_uint(a[0].uint());
    case Kind::kDouble:
      if (!(a[0].real >= 0 && a[0].real < 1.8446744073709550e19)) return overflow("unsigned integer");
      return Value::of_uint(static_cast<std::uint64_t>(a[0].real));
    case Kind::kString:
      if (const auto value = parsed<std::uint64_t>(a[0].text())) return Value::of_uint(*value);
      return conversion("string", "uint");
    default: return no_overload();
  }
}

Result<Value> to_double(const Arguments& a) {
  if (a[0].is_number()) return Value::of_double(a[0].as_double());
  if (a[0].kind != Kind::kString) return no_overload();
  if (const auto value = parsed<double>(a[0].text())) return Value::of_double(*value);
  return conversion("string", "double");
}

Result<Value> to_bool(const Arguments& a) {
  if (a[0].kind == Kind::kBool) return a[0];
  if (a[0].kind != Kind::kString) return no_overload();
  for (const char* yes : {"1", "t", "T", "TRUE", "true", "True"})
    if (a[0].text() == yes) return Value::of_bool(true);
  for (const char* no : {"0", "f", "F", "FALSE", "false", "False"})
    if (a[0].text() == no) return Value::of_bool(false);
  return conversion("string", "bool");
}

Result<std::vector<Value>> items_of(const Value& list) {
  std::vector<Value> items;
  if (list.kind != Kind::kList) return no_overload();
  for (std::size_t i = 0; i < list.size(); ++i) items.push_back(list.item(i));
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
  return arithmetic('+', a[0], a[1]);
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

bool all_texts(const Arguments& a) {
  return std::all_of(a.begin(), a.end(), [](const Value& each) { return each.kind == Kind::kString; });
}

template <typename Test>
Result<Value> test(const Arguments& a, Test test) {
  if (!all_texts(a)) return no_overload();
  return Value::of_bool(test(a[0].text(), a[1].text()));
}

Result<Value> matches(const Arguments& a) {
  if (!all_texts(a)) return no_overload();
  const auto piece = [](std::string_view text) { return re2::StringPiece(text.data(), text.size()); };
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);  // a short expression can be a large program
  const re2::RE2 pattern(piece(a[1].text()), options);
  if (!pattern.ok()) return invalid_argument("error parsing regexp: " + pattern.error());
  return Value::of_bool(re2::RE2::PartialMatch(piece(a[0].text()), pattern));
}

std::string double_text(double value) {
  if (std::abs(value) < 1e15 && value == static_cast<double>(static_cast<std::int64_t>(value)))
    return fmt::format("{}", static_cast<std::int64_t>(value));
  return fmt::format("{}", value);
}

Result<Value> to_string(const Arguments& a) {
  switch (a[0].kind) {
    case Kind::kString: return a[0];
    case Kind::kBytes: return Value::of_text(std::string(a[0].text()));
    case Kind::kBool: return Value::of_text(a[0].is_true() ? "true" : "false");
    case Kind::kInt: return Value::of_text(std::to_string(a[0].number));
    case Kind::kUint: return Value::of_text(std::to_string(a[0].uint()));
    case Kind::kDouble: return Value::of_text(double_text(a[0].real));
    default: return no_overload();
  }
}

}  // namespace

Function find_function(const std::string& name) {
  static const std::map<std::string, Function> kTable = {
      {"_-_", [](const Arguments& a) { return arithmetic('-', a[0], a[1]); }},
      {"_*_", [](const Arguments& a) { return arithmetic('*', a[0], a[1]); }},
      {"_/_", [](const Arguments& a) { return arithmetic('/', a[0], a[1]); }},
      {"_%_", [](const Arguments& a) { return arithmetic('%', a[0], a[1]); }},
      {"_+_", add},
      {"-_", negated},
      {"!_",
       [](const Arguments& a) -> Result<Value> {
         if (a[0].kind != Kind::kBool) return no_overload();
         return Value::of_bool(!a[0].is_true());
       }},
      {"_<_", [](const Arguments& a) { return ordered(a, [](int r) { return r < 0; }); }},
      {"_<=_", [](const Arguments& a) { return ordered(a, [](int r) { return r <= 0; }); }},
      {"_>_", [](const Arguments& a) { return ordered(a, [](int r) { return r > 0; }); }},
      {"_>=_", [](const Arguments& a) { return ordered(a, [](int r) { return r >= 0; }); }},
      {"_in_", contains_value},
      {"size", size},
      {"int", to_int},
      {"uint", to_uint},
      {"double", to_double},
      {"bool", to_bool},
      {"string", to_string},
      {"dyn", [](const Arguments& a) -> Result<Value> { return a[0]; }},
      {"type",
       [](const Arguments& a) -> Result<Value> { return Value::of_text(type_name(a[0]), Kind::kType); }},
      {"matches", matches},
      {"startsWith",
       [](const Arguments& a) {
         return test(a, [](std::string_view x, std::string_view y) { return x.starts_with(y); });
       }},
      {"endsWith",
       [](const Arguments& a) {
         return test(a, [](std::string_view x, std::string_view y) { return x.ends_with(y); });
       }},
      {"contains",
       [](const Arguments& a) {
         return test(
             a, [](std::string_view x, std::string_view y) { return x.find(y) != std::string_view::npos; });
       }},
  };
  const auto it = kTable.find(name);
  return it == kTable.end() ? nullptr : it->second;
}

}  // namespace muster::local::cel
