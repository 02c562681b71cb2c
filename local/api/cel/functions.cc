// local/api/cel/functions.cc: operators, conversions, times
#include "local/api/cel/functions.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "local/api/cel/times.h"

namespace muster::local::cel {
namespace {

Error overflow(std::string_view type = "integer") {
  return invalid_argument(std::string(type) + " overflow");
}

Result<Value> int_result(std::int64_t value) { return Value::of_int(value); }

Value duration_of(std::int64_t nanoseconds) {
  Value value;
  value.kind = Kind::kDuration;
  value.number = nanoseconds;
  return value;
}

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

Result<Value> time_arithmetic(char op, const Value& a, const Value& b) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  if (a.kind == Kind::kDuration && b.kind == Kind::kDuration) {
    std::int64_t result = 0;
    const bool broken = op == '+' ? __builtin_add_overflow(a.number, b.number, &result)
                                  : __builtin_sub_overflow(a.number, b.number, &result);
    return broken ? Result<Value>(overflow("duration")) : Result<Value>(duration_of(result));
  }
  if (a.kind == Kind::kTimestamp && b.kind == Kind::kTimestamp && op == '-') {
    std::int64_t nanoseconds = 0;
    if (__builtin_mul_overflow(a.number - b.number, kSecond, &nanoseconds) ||
        __builtin_add_overflow(nanoseconds, a.nanos - b.nanos, &nanoseconds))
      return overflow("duration");
    return duration_of(nanoseconds);
  }
  const Value& time = a.kind == Kind::kTimestamp ? a : b;
  const Value& span = a.kind == Kind::kTimestamp ? b : a;
  if (time.kind != Kind::kTimestamp || span.kind != Kind::kDuration || (op == '-' && &time == &b))
    return no_overload();
  std::int64_t by = span.number;
  if (op == '-' && __builtin_sub_overflow(0, span.number, &by)) return overflow("duration");
  const auto sum = shifted(time, by);
  if (!sum) return overflow("timestamp");
  return *sum;
}

Result<Value> arithmetic(char op, const Value& a, const Value& b) {
  if (a.kind == Kind::kInt && b.kind == Kind::kInt) return int_arithmetic(op, a.number, b.number);
  if (a.kind == Kind::kUint && b.kind == Kind::kUint) return uint_arithmetic(op, a.uint(), b.uint());
  if (a.kind == Kind::kDouble && b.kind == Kind::kDouble && op != '%') {
    const double x = a.real, y = b.real;
    return Value::of_double(op == '+' ? x + y : op == '-' ? x - y : op == '*' ? x * y : x / y);
  }
  if (op == '+' || op == '-') return time_arithmetic(op, a, b);
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
    case Kind::kTimestamp: return Value::of_int(a[0].number);
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

Result<Value> to_bytes(const Arguments& a) {
  if (a[0].kind == Kind::kBytes) return a[0];
  if (a[0].kind != Kind::kString) return no_overload();
  return Value::of_text(std::string(a[0].text()), Kind::kBytes);
}

Result<Value> to_duration(const Arguments& a) {
  if (a[0].kind == Kind::kDuration) return a[0];
  if (a[0].kind != Kind::kString) return no_overload();
  const auto nanoseconds = parse_duration(a[0].text(), false);
  if (!nanoseconds) return invalid_argument(fmt::format("time: invalid duration \"{}\"", a[0].text()));
  return duration_of(*nanoseconds);
}

Result<Value> to_timestamp(const Arguments& a) {
  if (a[0].kind == Kind::kTimestamp) return a[0];
  if (a[0].kind == Kind::kInt) {
    Value epoch;
    epoch.kind = Kind::kTimestamp;
    epoch.number = a[0].number;
    if (std::abs(static_cast<double>(epoch.number)) > 3e11) return overflow("timestamp");
    return epoch;
  }
  if (a[0].kind != Kind::kString) return no_overload();
  const std::string text(a[0].text());
  if (const auto time = parse_timestamp(text)) return *time;
  return invalid_argument(
      fmt::format("parsing time \"{}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse", text));
}

Result<Value> time_part(const Arguments& a, const char* part) {
  if (a[0].kind == Kind::kTimestamp) {
    const auto value = timestamp_part(a[0], part, a.size() > 1 ? a[1].text() : std::string_view());
    if (!value) return invalid_argument(fmt::format("unknown time zone {}", a[1].text()));
    return Value::of_int(*value);
  }
  if (a[0].kind != Kind::kDuration || a.size() > 1) return no_overload();
  const std::string_view name = part;
  if (name == "getHours") return Value::of_int(a[0].number / 3'600'000'000'000);
  if (name == "getMinutes") return Value::of_int(a[0].number / 60'000'000'000);
  if (name == "getSeconds") return Value::of_int(a[0].number / 1'000'000'000);
  if (name == "getMilliseconds") return Value::of_int(a[0].number / 1'000'000 % 1000);
  return no_overload();
}

const FunctionTable& core_functions() {
  static const FunctionTable kTable = {
      {"_-_", [](const Arguments& a) { return arithmetic('-', a[0], a[1]); }},
      {"_*_", [](const Arguments& a) { return arithmetic('*', a[0], a[1]); }},
      {"_/_", [](const Arguments& a) { return arithmetic('/', a[0], a[1]); }},
      {"_%_", [](const Arguments& a) { return arithmetic('%', a[0], a[1]); }},
      {"_plus_", [](const Arguments& a) { return arithmetic('+', a[0], a[1]); }},
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
      {"int", to_int},
      {"uint", to_uint},
      {"double", to_double},
      {"bool", to_bool},
      {"bytes", to_bytes},
      {"duration", to_duration},
      {"timestamp", to_timestamp},
      {"dyn", [](const Arguments& a) -> Result<Value> { return a[0]; }},
      {"type",
       [](const Arguments& a) -> Result<Value> { return Value::of_text(type_name(a[0]), Kind::kType); }},
      {"getFullYear", [](const Arguments& a) { return time_part(a, "getFullYear"); }},
      {"getMonth", [](const Arguments& a) { return time_part(a, "getMonth"); }},
      {"getDate", [](const Arguments& a) { return time_part(a, "getDate"); }},
      {"getDayOfMonth", [](const Arguments& a) { return time_part(a, "getDayOfMonth"); }},
      {"getDayOfWeek", [](const Arguments& a) { return time_part(a, "getDayOfWeek"); }},
      {"getDayOfYear", [](const Arguments& a) { return time_part(a, "getDayOfYear"); }},
      {"getHours", [](const Arguments& a) { return time_part(a, "getHours"); }},
      {"getMinutes", [](const Arguments& a) { return time_part(a, "getMinutes"); }},
      {"getSeconds", [](const Arguments& a) { return time_part(a, "getSeconds"); }},
      {"getMilliseconds", [](const Arguments& a) { return time_part(a, "getMilliseconds"); }},
  };
  return kTable;
}

}  // namespace

Function find_function(const std::string& name) {
  for (const FunctionTable* table : {&core_functions(), &text_functions(), &list_functions(),
                                     &kubernetes_functions(), &address_functions()})
    if (const auto it = table->find(name); it != table->end()) return it->second;
  return nullptr;
}

}  // namespace muster::local::cel
