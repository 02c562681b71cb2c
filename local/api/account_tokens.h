#pragma once  // local/api/account_tokens.h: the tokens of service accounts: signed here, and checked here
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "local/api/access.h"

namespace muster::local {

// JSON web tokens (HS256) with the claims of Kubernetes' own, under a key that lives as long as this object.
// A token is good while its account is there, and the pod that it is bound to, too. Thread-safe.
class AccountTokens {
 public:
  static constexpr const char* kIssuer = "https://kubernetes.default.svc";  // and the audience

  explicit AccountTokens(const ObjectStore& store);

  struct Wish {
    std::string ns, account;
    std::string pod, pod_uid;  // "": bound to the account alone
    std::chrono::seconds lifetime{3600};
  };
  struct Token {
    std::string text;
    WallTime expires;
  };
  // 404 if the account, or the pod, is not there; 409 if another pod has its name now.
  [[nodiscard]] ApiResult<Token> issue(const Wish& wish, WallTime now) const;
  // Nobody for a token that is none of ours, or no longer good.
  [[nodiscard]] std::optional<User> user_of(std::string_view token, WallTime now) const;

 private:
  const ObjectStore& store_;
  const std::string key_;
};

}  // namespace muster::local
