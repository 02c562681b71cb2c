#pragma once  // common/crypto/x509.h: certificates of Muster's own authority: made, read and checked
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace muster {

struct KeyPair {  // PEM; the key is a secret: it goes into no log and no message
  std::string key, certificate;
};

inline constexpr auto kAuthorityLife = std::chrono::hours(24 * 3652);  // ten years
inline constexpr auto kClockSkew = std::chrono::hours(1);  // certificates begin so long before they are made

// A new P-256 key and its self-signed certificate, which may sign leaves and nothing else.
[[nodiscard]] Result<KeyPair> make_authority(const std::string& common_name, WallTime now);

// The same for a server without an authority, whose clients are given the certificate itself; it is called by
// `hosts`: names and IP addresses.
[[nodiscard]] Result<KeyPair> make_lone_server(const std::string& common_name,
                                               const std::vector<std::string>& hosts, WallTime now,
                                               std::chrono::seconds life);

// Signs leaf certificates. Thread-safe after `load`.
class Authority {
 public:
  // Errors: kInvalidArgument: not PEM, not a pair, or not an authority's certificate.
  [[nodiscard]] static Result<Authority> load(const KeyPair& pair);

  // A new P-256 key whose certificate names `dns_name` and serves both ends of TLS. It lives from an hour
  // before `now` until the authority itself ends.
  [[nodiscard]] Result<KeyPair> issue(const std::string& dns_name, WallTime now) const;
  [[nodiscard]] Result<KeyPair> issue(const std::string& dns_name, WallTime from, WallTime to) const;
  // The same for a server that is called by several names; IP addresses are such, too.
  [[nodiscard]] Result<KeyPair> issue_for(const std::vector<std::string>& hosts, WallTime now) const;
  [[nodiscard]] const std::string& certificate() const;
  [[nodiscard]] WallTime end() const;
  // The first 8 hex digits of the certificate's SHA-256: what names and labels call it by.
  [[nodiscard]] const std::string& id() const;

 private:
  struct Parts;
  explicit Authority(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}
  [[nodiscard]] Result<KeyPair> sign(const std::string& names, WallTime from, WallTime to) const;
  std::shared_ptr<const Parts> parts_;
};

// `Authority::id` of a certificate. Error: kInvalidArgument: not PEM.
[[nodiscard]] Result<std::string> authority_id(const std::string& certificate_pem);

// What a leaf's certificate says, once it is known to be signed by `authority_pem` and in force at `now`.
// Errors: kInvalidArgument: not PEM; kUnauthenticated: of another authority; kOutOfRange: expired, or not in
// force yet.
[[nodiscard]] Result<std::vector<std::string>> verified_dns_names(const std::string& certificate_pem,
                                                                  const std::string& authority_pem,
                                                                  WallTime now);

// Whether the key is the certificate's. Error: kInvalidArgument: not PEM, or not a pair.
[[nodiscard]] Status check_pair(const KeyPair& pair);

}  // namespace muster
