#pragma once  // operator/control/issuer.h: the operator as the authority of its pods: names, keys,
              // memberships
#include <cstdint>
#include <map>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/crypto/x509.h"
#include "pod/credentials.h"

namespace muster::op {

// Thread-safe once it is loaded.
class Issuer {
 public:
  struct Secrets {  // what all replicas and all later operators share
    KeyPair authority;
    std::string data_key;  // 32 bytes, raw: the keys of memberships come from it
  };
  [[nodiscard]] static Result<Secrets> make_secrets(WallTime now);
  // Makes the operator's own client certificate, too, which lives in memory only. Errors: kInvalidArgument:
  // the secrets are not what make_secrets makes; kOutOfRange: the authority has expired.
  [[nodiscard]] static Result<Issuer> load(const Secrets& secrets, WallTime now);

  [[nodiscard]] const std::string& id() const { return authority_.id(); }
  [[nodiscard]] const std::string& authority_certificate() const { return authority_.certificate(); }  // PEM
  [[nodiscard]] const Credentials& credentials() const { return credentials_; }

  // The content of one Secret: "<i>.key" and "<i>.crt" of the pods `first` to `first` + `count` - 1 of
  // `role`, and "ca.crt". PEM. About 0.1 ms a pod.
  [[nodiscard]] Result<std::map<std::string, std::string>> keys_of(const std::string& uid,
                                                                   const std::string& role,
                                                                   std::int64_t first, std::int64_t count,
                                                                   WallTime now) const;
  // What proves that a pod belongs to `membership` of the object with `uid`: the same after a restart, and on
  // every replica. 32 bytes, raw.
  [[nodiscard]] Result<std::string> membership_key(const std::string& uid, std::int64_t membership) const;

  // What a program of the object with `uid` proves by that it may tell its progress: text, the same always.
  [[nodiscard]] std::string progress_token(const std::string& uid) const;
  [[nodiscard]] bool is_progress_token(const std::string& uid, std::string_view token) const;
  // The content of its Secret: "token" and "ca.crt".
  [[nodiscard]] std::map<std::string, std::string> token_of(const std::string& uid) const;
  // Of the server that takes it: the operator's name and `host`, by which pods call it.
  [[nodiscard]] Result<KeyPair> progress_server(const std::string& host, WallTime now) const;

 private:
  Issuer(Authority authority, Credentials credentials, std::string data_key)
      : authority_(std::move(authority)),
        credentials_(std::move(credentials)),
        data_key_(std::move(data_key)) {}

  Authority authority_;
  Credentials credentials_;
  std::string data_key_;
};

}  // namespace muster::op
