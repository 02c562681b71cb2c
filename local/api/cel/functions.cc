// local/api/cel/functions.cc: what each operator and function does
#include "local/api/cel/functions.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace muster::local::cel {
namespace {

using Arguments = std::vector<const Json*>;
using Function = Result<Json> (*)(const Arguments&);

constexpr std::size_t kTextMax = 4 * 1024 * 1024;  // of strings and lists that an expression makes

Error no_overload() { return invalid_argument("no such overload"); }
Error overflow() { return invalid_argument("integer overflow"); }

const std::string& text(const Json& value) { return value.get_ref<const std::string&>(); }

std::size_t characters(const std::string& value) {
  return static_cast<std::size_t>(
      std::count_if(value.begin(), value.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

Result<Json> arithmetic(char op, const Json& a, const Json& b) {
  if (a.is_number_integer() && b.is_number_integer()) {
    const auto x = a.get<std::int64_t>(), y = b.get<std::int64_t>();
    std::int64_t result = 0;
    if (op == '+')
      return __builtin_add_overflow(x, y, &result) ? Result<Json>(overflow()) : Result<Json>(Json(result));
    if (op == '-')
      return __builtin_sub_overflow(x, y, &result) ? Result<Json>(overflow()) : Result<Json>(Json(result));
    if (op == '*')
      return __builtin_mul_overflow(x, y, &result) ? Result<Json>(overflow()) : Result<Json>(Json(result));
    if (y == 0) return invalid_argument(op == '/' ? "division by zero" : "modulus by zero");
    if (y == -1) return op == '%' ? Result<Json>(Json(0)) : arithmetic('-', Json(0), a);
    return Json(op == '/' ? x / y : x % y);
  }
  if (!a.is_number() || !b.is_number() || op == '%') return no_overload();
  const double x = a.get<double>(), y = b.get<double>();
  return Json(op == '+' ? x + y : op == '-' ? x - y : op == '*' ? x * y : x / y);
}

Result<Json> add(const Arguments& a) {
  if (a[0]->is_string() && a[1]->is_string()) {
    if (text(*a[0]).size() + text(*a[1]).size() > kTextMax) return invalid_argument("a string gets too long");
    return Json(text(*a[0]) + text(*a[1]));
  }
  if (a[0]->is_array() && a[1]->is_array()) {
    Json joined = *a[0];
    joined.insert(joined.end(), a[1]->begin(), a[1]->end());
    return joined;
  }
  return arithmetic('+', *a[0], *a[1]);
}

Result<int> order(const Json& a, const Json& b) {
  const bool comparable = (a.is_number() && b.is_number()) || (a.is_string() && b.is_string()) ||
                          (a.is_boolean() && b.is_boolean());
  if (!comparable) return no_overload();
  return a < b ? -1 : b < a ? 1 : 0;
}

template <typename Accept>
Result<Json> compare(const Arguments& a, Accept accept) {
  MUSTER_ASSIGN(const int result, order(*a[0], *a[1]));
  return Json(static_cast<bool>(accept(result)));
}

Result<Json> contains_value(const Arguments& a) {
  if (a[1]->is_array()) return Json(std::find(a[1]->begin(), a[1]->end(), *a[0]) != a[1]->end());
  if (a[1]->is_object() && a[0]->is_string()) return Json(a[1]->contains(text(*a[0])));
  return no_overload();
}

Result<Json> size(const Arguments& a) {
  if (a[0]->is_string()) return Json(characters(text(*a[0])));
  if (a[0]->is_structured()) return Json(a[0]->size());
  return no_overload();
}

Result<Json> matches(const Arguments& a) {
  if (!a[0]->is_string() || !a[1]->is_string()) return no_overload();
  re2::RE2::Options options;
  options.set_log_errors(false);
  const re2::RE2 pattern(text(*a[1]), options);
  if (!pattern.ok()) return invalid_argument("error parsing regexp: " + pattern.error());
  return Json(re2::RE2::PartialMatch(text(*a[0]), pattern));
}

Result<Json> to_string(const Arguments& a) {
  if (a[0]->is_string()) return *a[0];
  if (a[0]->is_structured() || a[0]->is_null()) return no_overload();
  return Json(a[0]->dump());
}

Result<Json> to_int(const Arguments& a) {
  if (a[0]->is_number_integer()) return *a[0];
  if (a[0]->is_number()) {
    const double x = a[0]->get<double>();
    if (!(std::abs(x) < 9.2e18)) return overflow();
    return Json(static_cast<std::int64_t>(x));
  }
  if (!a[0]->is_string() || text(*a[0]).empty() || text(*a[0]).size() > 18 ||
      text(*a[0]).find_first_not_of("-0123456789") != std::string::npos)
    return invalid_argument("type conversion error from 'string' to 'int'");
  return Json(static_cast<std::int64_t>(std::strtoll(text(*a[0]).c_str(), nullptr, 10)));
}

Result<Json> to_double(const Arguments& a) {
  if (a[0]->is_number()) return Json(a[0]->get<double>());
  if (!a[0]->is_string()) return no_overload();
  char* end = nullptr;
  const double value = std::strtod(text(*a[0]).c_str(), &end);
  if (text(*a[0]).empty() || *end != '\0')
    return invalid_argument("type conversion error from 'string' to 'double'");
  return Json(value);
}

Result<Json> type_name(const Arguments& a) {
  if (a[0]->is_object()) return Json("map");
  if (a[0]->is_array()) return Json("list");
  if (a[0]->is_string()) return Json("string");
  if (a[0]->is_boolean()) return Json("bool");
  if (a[0]->is_null()) return Json("null_type");
  return Json(a[0]->is_number_integer() ? "int" : "double");
}

template <typename Apply>
Result<Json> on_texts(const Arguments& a, Apply apply) {
  for (const Json* each : a)
    if (!each->is_string()) return no_overload();
  return Json(apply(a));
}

Result<Json> list_order(const Arguments& a, int wanted) {
  if (!a[0]->is_array()) return no_overload();
  if (a[0]->empty()) return invalid_argument("min/max called on empty list");
  const Json* best = &(*a[0])[0];
  for (const Json& item : *a[0]) {
    MUSTER_ASSIGN(const int result, order(item, *best));
    if (result == wanted) best = &item;
  }
  return *best;
}

Result<Json> is_sorted(const Arguments& a) {
  if (!a[0]->is_array()) return no_overload();
  for (std::size_t i = 1; i < a[0]->size(); ++i) {
    MUSTER_ASSIGN(const int result, order((*a[0])[i - 1], (*a[0])[i]));
    if (result > 0) return Json(false);
  }
  return Json(true);
}

Result<Json> sum(const Arguments& a) {
  if (!a[0]->is_array()) return no_overload();
  Json total = 0;
  for (const Json& item : *a[0]) {
    MUSTER_ASSIGN(total, arithmetic('+', total, item));
  }
  return total;
}

Result<Json> join(const Arguments& a) {
  if (!a[0]->is_array() || (a.size() > 1 && !a[1]->is_string())) return no_overload();
  std::string joined;
  for (std::size_t i = 0; i < a[0]->size(); ++i) {
    if (!(*a[0])[i].is_string()) return no_overload();
    if (i > 0 && a.size() > 1) joined += text(*a[1]);
    joined += text((*a[0])[i]);
    if (joined.size() > kTextMax) return invalid_argument("a string gets too long");
  }
  return Json(joined);
}

Result<Json> split(const Arguments& a) {
  if (!a[0]->is_string() || !a[1]->is_string() || text(*a[1]).empty()) return no_overload();
  Json parts = Json::array();
  std::size_t at = 0;
  while (true) {
    const auto found = text(*a[0]).find(text(*a[1]), at);
    parts.push_back(text(*a[0]).substr(at, found == std::string::npos ? found : found - at));
    if (found == std::string::npos) return parts;
    at = found + text(*a[1]).size();
  }
}

std::string changed_case(const std::string& value, bool upper) {
  std::string out = value;
  for (char& c : out) {
    if (upper && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!upper && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string trimmed(const std::string& value) {
  const auto start = value.find_first_not_of(" \t\r\n\f\v");
  return start == std::string::npos ? ""
                                    : value.substr(start, value.find_last_not_of(" \t\r\n\f\v") - start + 1);
}

bool ends_with(const std::string& value, const std::string& end) {
  return value.size() >= end.size() && value.compare(value.size() - end.size(), end.size(), end) == 0;
}

struct Signature {
  bool method = false;
  std::size_t least = 1, most = 1;
  Function function = nullptr;
};

const std::multimap<std::string, Signature>& signatures() {
  static const std::multimap<std::string, Signature> kAll = {
      {"_+_", {false, 2, 2, add}},
      {"_-_", {false, 2, 2, [](const Arguments& a) { return arithmetic('-', *a[0], *a[1]); }}},
      {"_*_", {false, 2, 2, [](const Arguments& a) { return arithmetic('*', *a[0], *a[1]); }}},
      {"_/_", {false, 2, 2, [](const Arguments& a) { return arithmetic('/', *a[0], *a[1]); }}},
      {"_%_", {false, 2, 2, [](const Arguments& a) { return arithmetic('%', *a[0], *a[1]); }}},
      {"-_",
       {false, 1, 1,
        [](const Arguments& a) {
          return arithmetic('-', a[0]->is_number_integer() ? Json(0) : Json(0.0), *a[0]);
        }}},
      {"!_",
       {false, 1, 1,
        [](const Arguments& a) -> Result<Json> {
          if (!a[0]->is_boolean()) return no_overload();
          return Json(!a[0]->get<bool>());
        }}},
      {"_==_", {false, 2, 2, [](const Arguments& a) -> Result<Json> { return Json(*a[0] == *a[1]); }}},
      {"_!=_", {false, 2, 2, [](const Arguments& a) -> Result<Json> { return Json(*a[0] != *a[1]); }}},
      {"_<_", {false, 2, 2, [](const Arguments& a) { return compare(a, [](int r) { return r < 0; }); }}},
      {"_<=_", {false, 2, 2, [](const Arguments& a) { return compare(a, [](int r) { return r <= 0; }); }}},
      {"_>_", {false, 2, 2, [](const Arguments& a) { return compare(a, [](int r) { return r > 0; }); }}},
      {"_>=_", {false, 2, 2, [](const Arguments& a) { return compare(a, [](int r) { return r >= 0; }); }}},
      {"_in_", {false, 2, 2, contains_value}},
      {"_&&_", {false, 2, 2, nullptr}},
      {"_||_", {false, 2, 2, nullptr}},
      {"_?_:_", {false, 3, 3, nullptr}},
      {"size", {false, 1, 1, size}},
      {"size", {true, 1, 1, size}},
      {"matches", {true, 2, 2, matches}},
      {"matches", {false, 2, 2, matches}},
      {"string", {false, 1, 1, to_string}},
      {"int", {false, 1, 1, to_int}},
      {"double", {false, 1, 1, to_double}},
      {"type", {false, 1, 1, type_name}},
      {"dyn", {false, 1, 1, [](const Arguments& a) -> Result<Json> { return *a[0]; }}},
      {"startsWith",
       {true, 2, 2,
        [](const Arguments& a) {
          return on_texts(a, [](const Arguments& t) { return text(*t[0]).rfind(text(*t[1]), 0) == 0; });
        }}},
      {"endsWith",
       {true, 2, 2,
        [](const Arguments& a) {
          return on_texts(a, [](const Arguments& t) { return ends_with(text(*t[0]), text(*t[1])); });
        }}},
      {"contains",
       {true, 2, 2,
        [](const Arguments& a) {
          return on_texts(
              a, [](const Arguments& t) { return text(*t[0]).find(text(*t[1])) != std::string::npos; });
        }}},
      {"lowerAscii",
       {true, 1, 1,
        [](const Arguments& a) {
          return on_texts(a, [](const Arguments& t) { return changed_case(text(*t[0]), false); });
        }}},
      {"upperAscii",
       {true, 1, 1,
        [](const Arguments& a) {
          return on_texts(a, [](const Arguments& t) { return changed_case(text(*t[0]), true); });
        }}},
      {"trim",
       {true, 1, 1,
        [](const Arguments& a) {
          return on_texts(a, [](const Arguments& t) { return trimmed(text(*t[0])); });
        }}},
      {"split", {true, 2, 2, split}},
      {"join", {true, 1, 2, join}},
      {"min", {true, 1, 1, [](const Arguments& a) { return list_order(a, -1); }}},
      {"max", {true, 1, 1, [](const Arguments& a) { return list_order(a, 1); }}},
      {"sum", {true, 1, 1, sum}},
      {"isSorted", {true, 1, 1, is_sorted}},
  };
  return kAll;
}

const Signature* find_signature(const std::string& name, std::optional<bool> method, std::size_t count) {
  const auto [first, last] = signatures().equal_range(name);
  for (auto it = first; it != last; ++it)
    if ((!method || it->second.method == *method) && count >= it->second.least && count <= it->second.most)
      return &it->second;
  return nullptr;
}

}  // namespace

bool is_known_function(const std::string& name, bool method, std::size_t arguments) {
  return find_signature(name, method, arguments) != nullptr;
}

Result<Json> call_function(const std::string& name, const std::vector<const Json*>& arguments) {
  const Signature* signature = find_signature(name, std::nullopt, arguments.size());
  if (signature == nullptr || signature->function == nullptr) return no_overload();
  return signature->function(arguments);
}

}  // namespace muster::local::cel
