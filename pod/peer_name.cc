// pod/peer_name.cc: whom a certificate of Muster's authority names
#include "pod/peer_name.h"

#include <algorithm>
#include <charconv>

namespace muster {
namespace {

constexpr std::string_view kDomain = ".muster.dev";
constexpr std::string_view kOperator = "operator";

bool is_label(std::string_view text) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !text.empty() && text.front() != '-' && text.back() != '-' &&
         std::all_of(text.begin(), text.end(), fits);
}

}  // namespace

PeerName operator_name() { return {.role = std::string(kOperator), .index = 0, .uid = {}}; }

std::string dns_name(const PeerName& name) {
  if (name.is_operator()) return std::string(kOperator) + std::string(kDomain);
  return name.role + "-" + std::to_string(name.index) + "." + name.uid + std::string(kDomain);
}

std::optional<PeerName> parse_dns_name(std::string_view dns) {
  if (!dns.ends_with(kDomain)) return std::nullopt;
  dns.remove_suffix(kDomain.size());
  if (dns == kOperator) return operator_name();
  const std::size_t dot = dns.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view pod = dns.substr(0, dot);
  const std::string_view uid = dns.substr(dot + 1);
  const std::size_t dash = pod.rfind('-');
  if (dash == std::string_view::npos || !is_label(pod.substr(0, dash)) || !is_label(uid)) return std::nullopt;
  PeerName name{.role = std::string(pod.substr(0, dash)), .index = -1, .uid = std::string(uid)};
  const char* end = pod.data() + pod.size();
  const auto [parsed, error] = std::from_chars(pod.data() + dash + 1, end, name.index);
  // One way to write a name: no sign, no leading zero.
  if (error != std::errc() || parsed != end || dns_name(name).substr(0, pod.size()) != pod || name.index < 0)
    return std::nullopt;
  return name;
}

}  // namespace muster
