// local/api/cel/addresses.cc: IP addresses and CIDR blocks
#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

#include "local/api/cel/functions.h"

namespace muster::local::cel {
namespace {

// 4 or 16 bytes; no zones, and no IPv4 address inside of an IPv6 one.
std::optional<std::string> parse_ip(std::string_view text) {
  const std::string plain(text);
  unsigned char bytes[16];
  if (inet_pton(AF_INET, plain.c_str(), bytes) == 1) return std::string(reinterpret_cast<char*>(bytes), 4);
  if (plain.find('.') == std::string::npos && inet_pton(AF_INET6, plain.c_str(), bytes) == 1)
    return std::string(reinterpret_cast<char*>(bytes), 16);
  return std::nullopt;
}

std::string ip_text(std::string_view bytes) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  return text;
}

struct Block {
  std::string bytes;
  int length = 0;
};

std::optional<Block> parse_cidr(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = parse_ip(text.substr(0, slash));
  const std::string_view length = text.substr(slash + 1);
  Block block;
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), block.length);
  if (!address || length.empty() || error != std::errc{} || end != length.data() + length.size() ||
      (length.size() > 1 && length[0] == '0') || block.length < 0 ||
      block.length > static_cast<int>(address->size()) * 8)
    return std::nullopt;
  block.bytes = *address;
  return block;
}

std::string masked_bytes(std::string_view bytes, std::int64_t length) {
  std::string out(bytes);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto bits = length - static_cast<std::int64_t>(i) * 8;
    const int mask = bits >= 8 ? 0xff : bits <= 0 ? 0 : (0xff << (8 - bits)) & 0xff;
    out[i] = static_cast<char>(static_cast<unsigned char>(out[i]) & mask);
  }
  return out;
}

Value cidr_value(std::string bytes, std::int64_t length) {
  Value value = Value::of_text(std::move(bytes), Kind::kCidr);
  value.number = length;
  return value;
}

Result<Value> ip(const Arguments& a) {
  if (a[0].kind == Kind::kCidr) return Value::of_text(std::string(a[0].text()), Kind::kIp);
  if (a[0].kind != Kind::kString) return no_overload();
  auto bytes = parse_ip(a[0].text());
  if (!bytes)
    return invalid_argument(
        fmt::format("IP Address \"{}\" parse error during conversion from string: "
                    "ParseAddr(\"{}\"): unable to parse IP",
                    a[0].text(), a[0].text()));
  return Value::of_text(std::move(*bytes), Kind::kIp);
}

Result<Value> cidr(const Arguments& a) {
  if (a[0].kind != Kind::kString) return no_overload();
  auto block = parse_cidr(a[0].text());
  if (!block)
    return invalid_argument(
        fmt::format("network address parse error during conversion from string: "
                    "netip.ParsePrefix(\"{}\"): no valid prefix",
                    a[0].text()));
  return cidr_value(std::move(block->bytes), block->length);
}

Result<Value> contains_ip(const Arguments& a) {
  if (a[0].kind != Kind::kCidr) return no_overload();
  MUSTER_ASSIGN(const Value address, a[1].kind == Kind::kIp ? Result<Value>(a[1]) : ip({a[1]}));
  return Value::of_bool(address.text().size() == a[0].text().size() &&
                        masked_bytes(address.text(), a[0].number) == masked_bytes(a[0].text(), a[0].number));
}

Result<Value> contains_cidr(const Arguments& a) {
  if (a[0].kind != Kind::kCidr) return no_overload();
  MUSTER_ASSIGN(const Value block, a[1].kind == Kind::kCidr ? Result<Value>(a[1]) : cidr({a[1]}));
  return Value::of_bool(block.text().size() == a[0].text().size() && block.number >= a[0].number &&
                        masked_bytes(block.text(), a[0].number) == masked_bytes(a[0].text(), a[0].number));
}

Result<Value> address_text(const Arguments& a) {
  std::string text = ip_text(a[0].text());
  if (a[0].kind == Kind::kCidr) text += fmt::format("/{}", a[0].number);
  return Value::of_text(std::move(text));
}

template <typename Test>
Result<Value> test(const Arguments& a, Test test) {
  if (a[0].kind != Kind::kIp) return no_overload();
  const auto bytes = a[0].text();
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  return Value::of_bool(test(bytes.size() == 4, byte));
}

bool unspecified(const Value& address) {
  return address.text().find_first_not_of('\0') == std::string_view::npos;
}
bool loopback(const Value& address) {
  const auto bytes = address.text();
  return bytes.size() == 4
             ? bytes[0] == 127
             : bytes.substr(0, 15).find_first_not_of('\0') == std::string_view::npos && bytes[15] == 1;
}

const auto kLinkUnicast = [](bool v4, const auto& byte) {
  return v4 ? byte(0) == 169 && byte(1) == 254 : byte(0) == 0xfe && (byte(1) & 0xc0) == 0x80;
};
const auto kLinkMulticast = [](bool v4, const auto& byte) {
  return v4 ? byte(0) == 224 && byte(1) == 0 && byte(2) == 0 : byte(0) == 0xff && (byte(1) & 0x0f) == 0x02;
};
const auto kGlobal = [](bool v4, const auto& byte) {
  const bool multicast = v4 ? byte(0) >= 224 && byte(0) <= 239 : byte(0) == 0xff;
  const bool broadcast = v4 && byte(0) == 255 && byte(1) == 255 && byte(2) == 255 && byte(3) == 255;
  return !multicast && !broadcast && !kLinkUnicast(v4, byte);
};

}  // namespace

const FunctionTable& address_functions() {
  static const FunctionTable kTable = {
      {"ip", ip},
      {"isIP",
       [](const Arguments& a) -> Result<Value> { return Value::of_bool(parse_ip(a[0].text()).has_value()); }},
      {"ip.isCanonical",
       [](const Arguments& a) -> Result<Value> {
         MUSTER_ASSIGN(const Value address, ip(a));
         return Value::of_bool(ip_text(address.text()) == a[0].text());
       }},
      {"family",
       [](const Arguments& a) -> Result<Value> { return Value::of_int(a[0].text().size() == 4 ? 4 : 6); }},
      {"isUnspecified",
       [](const Arguments& a) -> Result<Value> { return Value::of_bool(unspecified(a[0])); }},
      {"isLoopback", [](const Arguments& a) -> Result<Value> { return Value::of_bool(loopback(a[0])); }},
      {"isLinkLocalUnicast", [](const Arguments& a) { return test(a, kLinkUnicast); }},
      {"isLinkLocalMulticast", [](const Arguments& a) { return test(a, kLinkMulticast); }},
      {"isGlobalUnicast",
       [](const Arguments& a) -> Result<Value> {
         if (unspecified(a[0]) || loopback(a[0])) return Value::of_bool(false);
         return test(a, kGlobal);
       }},
      {"cidr", cidr},
      {"isCIDR",
       [](const Arguments& a) -> Result<Value> {
         return Value::of_bool(parse_cidr(a[0].text()).has_value());
       }},
      {"containsIP", contains_ip},
      {"containsCIDR", contains_cidr},
      {"prefixLength", [](const Arguments& a) -> Result<Value> { return Value::of_int(a[0].number); }},
      {"masked",
       [](const Arguments& a) -> Result<Value> {
         return cidr_value(masked_bytes(a[0].text(), a[0].number), a[0].number);
       }},
      {"string", address_text},
  };
  return kTable;
}

}  // namespace muster::local::cel
