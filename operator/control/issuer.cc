// operator/control/issuer.cc: the operator as the authority of its pods: names, keys, memberships
#include "operator/control/issuer.h"

#include <fmt/format.h>

#include "common/crypto/hkdf.h"

namespace muster::op {
namespace {

constexpr std::size_t kKeyBytes = 32;

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

}  // namespace muster::op
