// local/api/formats.cc: forms of texts, their checks and the server's words for what is wrong
#include "local/api/formats.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <random>

#include "common/base/rfc3339.h"

namespace muster::local {
namespace {

const re2::RE2& subdomain() {
  static const re2::RE2 kRe(R"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)");
  return kRe;
}
const re2::RE2& label() {
  static const re2::RE2 kRe("[a-z0-9]([-a-z0-9]*[a-z0-9])?");
  return kRe;
}

std::vector<std::string> too_long(std::size_t max) {
  return {fmt::format("must be no more than {} characters", max)};
}

std::mt19937_64& generator() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return random;
}

}  // namespace

bool matches_format(std::string_view format, const std::string& text) {
  static const re2::RE2 kDate(R"(\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))");
  static const re2::RE2 kUuid("(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}");
  static const re2::RE2 kByte("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?");
  static const re2::RE2 kIpv4(R"((25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3})");
  static const re2::RE2 kIpv6("(?i)[0-9a-f:.]*:[0-9a-f:.]*");
  static const re2::RE2 kUri(R"(([A-Za-z][A-Za-z0-9+.-]*:)?[^\s]*)");
  static const re2::RE2 kEmail(R"([^@\s]+@[^@\s]+)");
  static const re2::RE2 kHost(
      R"(([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*)");
  static const re2::RE2 kDuration(R"([-+]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h|d|w))+|0)");
  if (format == "date-time" || format == "datetime") return parse_rfc3339(text).has_value();
  if (format == "date") return re2::RE2::FullMatch(text, kDate);
  if (format == "uuid" || format == "uuid4") return re2::RE2::FullMatch(text, kUuid);
  if (format == "byte") return re2::RE2::FullMatch(text, kByte);
  if (format == "ipv4") return re2::RE2::FullMatch(text, kIpv4);
  if (format == "ipv6") return re2::RE2::FullMatch(text, kIpv6);
  if (format == "uri") return re2::RE2::FullMatch(text, kUri);
  if (format == "email") return re2::RE2::FullMatch(text, kEmail);
  if (format == "hostname") return re2::RE2::FullMatch(text, kHost);
  if (format == "duration") return re2::RE2::FullMatch(text, kDuration);
  return true;
}

std::vector<std::string> check_dns_subdomain(const std::string& name) {
  if (name.size() > 253) return too_long(253);
  if (re2::RE2::FullMatch(name, subdomain())) return {};
  return {
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
      "must "
      "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
      "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"};
}

std::vector<std::string> check_dns_label(const std::string& name) {
  if (name.size() > 63) return too_long(63);
  if (re2::RE2::FullMatch(name, label())) return {};
  if (re2::RE2::FullMatch(name, subdomain())) return {"must not contain dots"};
  return {
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
      "and "
      "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
      "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"};
}

std::vector<std::string> check_dns1035_label(const std::string& name) {
  static const re2::RE2 kRe("[a-z]([-a-z0-9]*[a-z0-9])?");
  if (name.size() > 63) return too_long(63);
  if (re2::RE2::FullMatch(name, kRe)) return {};
  return {
      "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
      "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
      "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"};
}

std::vector<std::string> check_label_value(const std::string& value) {
  static const re2::RE2 kRe("(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?");
  if (value.size() > 63) return too_long(63);
  if (re2::RE2::FullMatch(value, kRe)) return {};
  return {
      "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
      "must "
      "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
      "for "
      "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"};
}

std::vector<std::string> check_qualified_name(const std::string& name) {
  static const re2::RE2 kRe("([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]");
  static const std::string kRule =
      "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
      "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
      "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
  const auto slash = name.find('/');
  if (slash != std::string::npos && name.find('/', slash + 1) != std::string::npos)
    return {"a qualified name " + kRule +
            " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"};
  std::vector<std::string> errors;
  if (slash != name.rfind('/'))
    return {
        "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
        "with "
        "an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation "
        "is "
        "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. "
        "'example.com/MyName')"};
  std::string part = name;
  if (slash != std::string::npos) {
    const std::string prefix = name.substr(0, slash);
    part = name.substr(slash + 1);
    if (prefix.empty())
      errors.push_back("prefix part must be non-empty");
    else
      for (const std::string& error : check_dns_subdomain(prefix)) errors.push_back("prefix part " + error);
  }
  if (part.empty()) {
    errors.push_back("name part must be non-empty");
  } else if (part.size() > 63) {
    errors.push_back("name part must be no more than 63 characters");
  }
  if (!re2::RE2::FullMatch(part, kRe)) errors.push_back("name part " + kRule);
  return errors;
}

std::vector<std::string> check_path_segment(const std::string& name) {
  if (name == "." || name == "..") return {fmt::format("may not be '{}'", name)};
  for (const char* part : {"/", "%"})
    if (name.find(part) != std::string::npos) return {fmt::format("may not contain '{}'", part)};
  return {};
}

std::vector<std::string> check_config_key(const std::string& key) {
  static const re2::RE2 kRe("[-._a-zA-Z0-9]+");
  if (key.size() > 253) return too_long(253);
  if (!re2::RE2::FullMatch(key, kRe))
    return {
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
        "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"};
  if (key == "." || key == "..") return {fmt::format("must not be '{}'", key)};
  return {};
}

std::string human_duration(std::chrono::seconds span) {
  const auto s = span.count();
  if (s < -1) return "<invalid>";
  if (s < 0) return "0s";
  if (s < 60 * 2) return fmt::format("{}s", s);
  const auto m = s / 60;
  if (m < 10) return s % 60 == 0 ? fmt::format("{}m", m) : fmt::format("{}m{}s", m, s % 60);
  if (m < 60 * 3) return fmt::format("{}m", m);
  const auto h = m / 60;
  if (h < 8) return m % 60 == 0 ? fmt::format("{}h", h) : fmt::format("{}h{}m", h, m % 60);
  if (h < 48) return fmt::format("{}h", h);
  const auto d = h / 24;
  if (h < 192) return h % 24 == 0 ? fmt::format("{}d", d) : fmt::format("{}d{}h", d, h % 24);
  if (d < 365 * 2) return fmt::format("{}d", d);
  const auto y = d / 365;
  if (d < 365 * 8) return d % 365 == 0 ? fmt::format("{}y", y) : fmt::format("{}y{}d", y, d % 365);
  return fmt::format("{}y", y);
}

std::string age(std::string_view timestamp, WallTime now) {
  const auto time = parse_rfc3339(timestamp);
  if (!time) return "<unknown>";
  return human_duration(std::chrono::duration_cast<std::chrono::seconds>(now - *time));
}

std::string new_uid() {
  std::uniform_int_distribution<std::uint64_t> bits;
  const std::uint64_t a = bits(generator());
  const std::uint64_t b = bits(generator());
  return fmt::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}", a >> 32, (a >> 16) & 0xffff, a & 0xfff,
                     0x8000 | ((b >> 48) & 0x3fff), b & 0xffffffffffffULL);
}

std::string random_suffix() {
  constexpr std::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";  // no vowels: no words
  std::uniform_int_distribution<std::size_t> pick(0, kAlphabet.size() - 1);
  std::string text;
  for (int i = 0; i < 5; ++i) text += kAlphabet[pick(generator())];
  return text;
}

}  // namespace muster::local
