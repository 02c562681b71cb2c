// operator/control/issuer.cc: the operator as the authority of its pods: names, keys, memberships
#include "operator/control/issuer.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "common/base/base64.h"
#include "common/crypto/hkdf.h"
#include "common/crypto/hmac.h"

namespace muster::op {
namespace {

constexpr std::size_t kKeyBytes = 32;

Mac progress_mac(const std::string& data_key, const std::string& uid) {
  const std::string text = "muster.dev progress " + uid;
  return hmac_sha256(std::as_bytes(std::span(data_key)), std::as_bytes(std::span(text)));
}

}  // namespace

Result<Issuer::Secrets> Issuer::make_secrets(WallTime now) {
  Secrets secrets;
  MUSTER_ASSIGN(secrets.authority, make_authority("Muster CA", now));
  MUSTER_ASSIGN(secrets.data_key, random_key(kKeyBytes));
  return secrets;
}

Result<Issuer> Issuer::load(const Secrets& secrets, WallTime now) {
  if (secrets.data_key.size() != kKeyBytes) {
    return invalid_argument(
        fmt::format("the data key has {} bytes, not {}", secrets.data_key.size(), kKeyBytes));
  }
  MUSTER_ASSIGN(Authority authority, Authority::load(secrets.authority));
  if (authority.end() <= now) return Error{Code::kOutOfRange, "the authority has expired"};
  MUSTER_ASSIGN(const KeyPair own, authority.issue(dns_name(operator_name()), now));
  MUSTER_ASSIGN(
      Credentials credentials,
      Credentials::from_pem(
          {.key = own.key, .certificate = own.certificate, .authority = authority.certificate()}, now));
  return Issuer(std::move(authority), std::move(credentials), secrets.data_key);
}

Result<std::map<std::string, std::string>> Issuer::keys_of(const std::string& uid, const std::string& role,
                                                           std::int64_t first, std::int64_t count,
                                                           WallTime now) const {
  std::map<std::string, std::string> files{{kAuthorityFile, authority_.certificate()}};
  for (std::int64_t index = first; index < first + count; ++index) {
    MUSTER_ASSIGN(KeyPair leaf, authority_.issue(dns_name({.role = role, .index = index, .uid = uid}), now));
    files[std::to_string(index) + ".key"] = std::move(leaf.key);
    files[std::to_string(index) + ".crt"] = std::move(leaf.certificate);
  }
  return files;
}

Result<std::string> Issuer::membership_key(const std::string& uid, std::int64_t membership) const {
  return hkdf_sha256(data_key_, fmt::format("muster.dev membership {} {}", uid, membership), kKeyBytes);
}

std::string Issuer::progress_token(const std::string& uid) const {
  const Mac mac = progress_mac(data_key_, uid);
  return base64_encode({reinterpret_cast<const char*>(mac.data()), mac.size()});
}

bool Issuer::is_progress_token(const std::string& uid, std::string_view token) const {
  const auto bytes = base64_decode(token);
  Mac told{};
  if (!bytes || bytes->size() != told.size()) return false;
  std::ranges::transform(*bytes, told.begin(), [](char c) { return static_cast<std::byte>(c); });
  return equal_in_constant_time(told, progress_mac(data_key_, uid));
}

std::map<std::string, std::string> Issuer::token_of(const std::string& uid) const {
  return {{kTokenFile, progress_token(uid)}, {kAuthorityFile, authority_.certificate()}};
}

Result<KeyPair> Issuer::progress_server(const std::string& host, WallTime now) const {
  return authority_.issue_for({dns_name(operator_name()), host}, now);
}

}  // namespace muster::op
