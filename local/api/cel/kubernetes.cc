// local/api/cel/kubernetes.cc: what Kubernetes adds to CEL: quantities, URLs, named formats
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "local/api/cel/functions.h"
#include "local/api/formats.h"

namespace muster::local::cel {
namespace {

Value quantity_of(double real) {
  Value value = Value::of_text(fmt::format("{}", real), Kind::kQuantity);
  value.real = real;
  return value;
}

Result<Value> quantity(const Arguments& a) {
  if (a[0].kind != Kind::kString) return no_overload();
  const std::string text(a[0].text());
  const auto number = quantity_value(text);
  if (!number)
    return invalid_argument(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  Value value = Value::of_text(text, Kind::kQuantity);
  value.real = *number;
  return value;
}

bool is_whole(double value) { return std::floor(value) == value && std::abs(value) < 9.2e18; }

Result<Value> as_integer(const Arguments& a) {
  if (a[0].kind != Kind::kQuantity) return no_overload();
  if (!is_whole(a[0].real)) return invalid_argument("cannot convert value to integer");
  return Value::of_int(static_cast<std::int64_t>(a[0].real));
}

Result<Value> sum(const Arguments& a, int sign) {
  if (a[0].kind != Kind::kQuantity) return no_overload();
  return quantity_of(a[0].real + sign * (a[1].kind == Kind::kQuantity ? a[1].real : a[1].as_double()));
}

struct Url {
  std::string scheme, host, path, query;
};

// As Go reads the URL of a request: absolute, or a path from the root.
std::optional<Url> parse_url(std::string_view text) {
  Url url;
  for (const char c : text)
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == '%' &&
        (i + 2 >= text.size() || std::isxdigit(static_cast<unsigned char>(text[i + 1])) == 0 ||
         std::isxdigit(static_cast<unsigned char>(text[i + 2])) == 0))
      return std::nullopt;
  std::string_view rest = text;
  const auto colon = text.find(':');
  const auto slash = text.find('/');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon < slash)) {
    const std::string_view scheme = text.substr(0, colon);
    if (scheme.empty() || std::isalpha(static_cast<unsigned char>(scheme[0])) == 0) return std::nullopt;
    for (const char c : scheme) {
      if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '+' && c != '-' && c != '.')
        return std::nullopt;
      url.scheme += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    rest = text.substr(colon + 1);
  }
  if (rest.empty() || rest[0] != '/') return std::nullopt;
  if (const auto mark = rest.find('?'); mark != std::string_view::npos) {
    url.query = rest.substr(mark + 1);
    rest = rest.substr(0, mark);
  }
  if (!url.scheme.empty() && rest.substr(0, 2) == "//") {
    rest.remove_prefix(2);
    const auto end = rest.find('/');
    url.host = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
    if (const auto user = url.host.rfind('@'); user != std::string::npos) url.host.erase(0, user + 1);
    const auto port = url.host.rfind(':');
    if (port != std::string::npos && url.host.find(']', port) == std::string::npos &&
        url.host.find_first_not_of("0123456789", port + 1) != std::string::npos)
      return std::nullopt;
  }
  url.path = rest;
  return url;
}

std::string port_of(const std::string& host) {
  const auto colon = host.rfind(':');
  return colon == std::string::npos || host.find(']', colon) != std::string::npos ? ""
                                                                                  : host.substr(colon + 1);
}

std::string hostname_of(const std::string& host) {
  std::string name = host;
  const auto colon = host.rfind(':');
  if (colon != std::string::npos && host.find(']', colon) == std::string::npos) name = host.substr(0, colon);
  if (name.size() > 1 && name.front() == '[' && name.back() == ']') name = name.substr(1, name.size() - 2);
  return name;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(std::strtoul(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

Value query_of(std::string_view query) {
  std::map<std::string, std::vector<Value>> members;
  while (!query.empty()) {
    const auto end = query.find('&');
    const std::string_view part = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (part.empty()) continue;
    const auto equals = part.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    members[unescaped(part.substr(0, equals))].push_back(Value::of_text(unescaped(value)));
  }
  std::vector<Value> entries;
  for (auto& [name, values] : members) {
    entries.push_back(Value::of_text(name));
    entries.push_back(Value::of_list(std::move(values)));
  }
  return Value::of_map(std::move(entries));
}

Result<Value> url_part(const Arguments& a, const char* part) {
  const auto url = a[0].kind == Kind::kUrl ? parse_url(a[0].text()) : std::nullopt;
  if (!url) return no_overload();
  const std::string_view name = part;
  if (name == "getScheme") return Value::of_text(url->scheme);
  if (name == "getHost") return Value::of_text(url->host);
  if (name == "getHostname") return Value::of_text(hostname_of(url->host));
  if (name == "getPort") return Value::of_text(port_of(url->host));
  if (name == "getEscapedPath") return Value::of_text(url->path);
  return query_of(url->query);
}

// What is wrong with a text, by the name of the format; none if there is no such format.
std::optional<std::vector<std::string>> format_errors(std::string_view format, const std::string& text) {
  const std::string whole = format.size() > 6 && format.substr(format.size() - 6) == "Prefix"
                                ? (text.empty() || text.back() != '-' ? text : text + "a")
                                : text;
  if (format == "dns1123Label" || format == "dns1123LabelPrefix") return check_dns_label(whole);
  if (format == "dns1123Subdomain" || format == "dns1123SubdomainPrefix") return check_dns_subdomain(whole);
  if (format == "dns1035Label" || format == "dns1035LabelPrefix") return check_dns1035_label(whole);
  if (format == "qualifiedName") return check_qualified_name(text);
  if (format == "labelValue") return check_label_value(text);
  if (format == "uri")
    return parse_url(text) ? std::vector<std::string>{} : std::vector<std::string>{"invalid URI"};
  for (const char* name : {"uuid", "byte", "date", "datetime"})
    if (format == name)
      return matches_format(name, text)
                 ? std::vector<std::string>{}
                 : std::vector<std::string>{fmt::format("does not match the {} format", name)};
  return std::nullopt;
}

Result<Value> validate(const Arguments& a) {
  if (a[0].kind != Kind::kFormat || a[1].kind != Kind::kString) return no_overload();
  const auto errors = format_errors(a[0].text(), std::string(a[1].text()));
  if (!errors) return no_overload();
  if (errors->empty()) return Value::none();
  std::vector<Value> texts;
  for (const std::string& error : *errors) texts.push_back(Value::of_text(error));
  return Value::some(Value::of_list(std::move(texts)));
}

Result<Value> named_format(const Arguments& a) {
  if (a[0].kind != Kind::kString) return no_overload();
  if (!format_errors(a[0].text(), "")) return Value::none();
  return Value::some(Value::of_text(std::string(a[0].text()), Kind::kFormat));
}

constexpr std::array kFormats = {"dns1123Label",
                                 "dns1123Subdomain",
                                 "dns1035Label",
                                 "dns1123LabelPrefix",
                                 "dns1123SubdomainPrefix",
                                 "dns1035LabelPrefix",
                                 "qualifiedName",
                                 "labelValue",
                                 "uri",
                                 "uuid",
                                 "byte",
                                 "date",
                                 "datetime"};
template <std::size_t index>
Result<Value> format_of(const Arguments&) {
  return Value::of_text(kFormats[index], Kind::kFormat);
}

}  // namespace

const FunctionTable& kubernetes_functions() {
  static const FunctionTable kTable = {
      {"quantity", quantity},
      {"isQuantity",
       [](const Arguments& a) -> Result<Value> {
         return Value::of_bool(is_quantity(std::string(a[0].text())));
       }},
      {"sign",
       [](const Arguments& a) -> Result<Value> {
         return Value::of_int(a[0].real > 0 ? 1 : a[0].real < 0 ? -1 : 0);
       }},
      {"isInteger", [](const Arguments& a) -> Result<Value> { return Value::of_bool(is_whole(a[0].real)); }},
      {"asInteger", as_integer},
      {"asApproximateFloat", [](const Arguments& a) -> Result<Value> { return Value::of_double(a[0].real); }},
      {"isGreaterThan",
       [](const Arguments& a) -> Result<Value> { return Value::of_bool(a[0].real > a[1].real); }},
      {"isLessThan",
       [](const Arguments& a) -> Result<Value> { return Value::of_bool(a[0].real < a[1].real); }},
      {"compareTo",
       [](const Arguments& a) -> Result<Value> {
         return Value::of_int(a[0].real < a[1].real ? -1 : a[0].real > a[1].real ? 1 : 0);
       }},
      {"add", [](const Arguments& a) { return sum(a, 1); }},
      {"sub", [](const Arguments& a) { return sum(a, -1); }},
      {"url",
       [](const Arguments& a) -> Result<Value> {
         const std::string text(a[0].text());
         if (!parse_url(text))
           return invalid_argument(fmt::format(
               "URL parse error during conversion from string: parse \"{}\": invalid URI for request", text));
         return Value::of_text(text, Kind::kUrl);
       }},
      {"isURL",
       [](const Arguments& a) -> Result<Value> {
         return Value::of_bool(parse_url(a[0].text()).has_value());
       }},
      {"getScheme", [](const Arguments& a) { return url_part(a, "getScheme"); }},
      {"getHost", [](const Arguments& a) { return url_part(a, "getHost"); }},
      {"getHostname", [](const Arguments& a) { return url_part(a, "getHostname"); }},
      {"getPort", [](const Arguments& a) { return url_part(a, "getPort"); }},
      {"getEscapedPath", [](const Arguments& a) { return url_part(a, "getEscapedPath"); }},
      {"getQuery", [](const Arguments& a) { return url_part(a, "getQuery"); }},
      {"validate", validate},
      {"format.named", named_format},
      {"format.dns1123Label", format_of<0>},
      {"format.dns1123Subdomain", format_of<1>},
      {"format.dns1035Label", format_of<2>},
      {"format.dns1123LabelPrefix", format_of<3>},
      {"format.dns1123SubdomainPrefix", format_of<4>},
      {"format.dns1035LabelPrefix", format_of<5>},
      {"format.qualifiedName", format_of<6>},
      {"format.labelValue", format_of<7>},
      {"format.uri", format_of<8>},
      {"format.uuid", format_of<9>},
      {"format.byte", format_of<10>},
      {"format.date", format_of<11>},
      {"format.datetime", format_of<12>},
  };
  return kTable;
}

}  // namespace muster::local::cel
