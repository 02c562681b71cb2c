// local/api/account_tokens.cc: RFC 7515 tokens with an HMAC
#include "local/api/account_tokens.h"

#include <cstring>
#include <span>
#include <stdexcept>

#include "common/base/base64.h"
#include "common/crypto/hkdf.h"
#include "common/crypto/hmac.h"
#include "common/json/read_json.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

constexpr std::size_t kTokenBytesMax = 8192;

std::string url_safe(std::string_view bytes) {
  std::string out = base64_encode(bytes);
  while (out.ends_with('=')) out.pop_back();
  for (char& c : out) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return out;
}

std::optional<std::string> from_url_safe(std::string_view text) {
  std::string plain(text);
  for (char& c : plain) c = c == '-' ? '+' : c == '_' ? '/' : c;
  while (plain.size() % 4 != 0) plain += '=';
  return base64_decode(plain);
}

std::string new_key() {
  const Result<std::string> key = random_key(32);
  if (!key) throw std::runtime_error(key.error().message);
  return *key;
}

Mac signature(const std::string& key, std::string_view what) {
  return hmac_sha256(std::as_bytes(std::span(key)), std::as_bytes(std::span(what)));
}

std::int64_t seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

AccountTokens::AccountTokens(const ObjectStore& store) : store_(store), key_(new_key()) {}

ApiResult<AccountTokens::Token> AccountTokens::issue(const Wish& wish, WallTime now) const {
  const ObjectPtr account = store_.get("serviceaccounts", wish.ns, wish.account);
  if (!account) return ApiError::not_found("serviceaccounts", wish.account);
  Json bound{{"namespace", wish.ns}, {"serviceaccount", {{"name", wish.account}, {"uid", account->uid}}}};
  if (!wish.pod.empty()) {
    const ObjectPtr pod = store_.get("pods", wish.ns, wish.pod);
    if (!pod) return ApiError::not_found("pods", wish.pod);
    if (!wish.pod_uid.empty() && wish.pod_uid != pod->uid)
      return ApiError::conflict("pods", wish.pod, "the UID in the bound object reference does not match");
    bound["pod"] = {{"name", wish.pod}, {"uid", pod->uid}};
  }
  const WallTime expires = now + wish.lifetime;
  const Json claims{{"aud", Json::array({kIssuer})},
                    {"iss", kIssuer},
                    {"iat", seconds(now)},
                    {"nbf", seconds(now)},
                    {"exp", seconds(expires)},
                    {"kubernetes.io", bound},
                    {"sub", account_user(wish.ns, wish.account, "").name}};
  std::string text = url_safe(R"({"alg":"HS256","typ":"JWT"})") + "." + url_safe(claims.dump());
  const Mac mac = signature(key_, text);
  text += "." + url_safe({reinterpret_cast<const char*>(mac.data()), mac.size()});
  return Token{std::move(text), expires};
}

std::optional<User> AccountTokens::user_of(std::string_view token, WallTime now) const {
  const std::size_t first = token.find('.'), last = token.rfind('.');
  if (token.size() > kTokenBytesMax || first == std::string_view::npos || first == last) return std::nullopt;
  const auto given = from_url_safe(token.substr(last + 1));
  Mac mac{};
  if (!given || given->size() != mac.size()) return std::nullopt;
  std::memcpy(mac.data(), given->data(), mac.size());
  if (!equal_in_constant_time(mac, signature(key_, token.substr(0, last)))) return std::nullopt;
  const auto payload = from_url_safe(token.substr(first + 1, last - first - 1));
  const Json claims = payload ? read_json(*payload) : Json();
  if (!claims.is_object() || integer_at(claims, "exp") <= seconds(now)) return std::nullopt;
  const Json& bound = object_of(claims, "kubernetes.io");
  const std::string ns = text_at(bound, "namespace");
  const auto there = [&](const char* resource, const Json& reference) {
    const ObjectPtr object = store_.get(resource, ns, text_at(reference, "name"));
    return object && object->uid == text_at(reference, "uid");
  };
  const Json& account = object_of(bound, "serviceaccount");
  if (!there("serviceaccounts", account)) return std::nullopt;
  if (bound.contains("pod") && !there("pods", object_of(bound, "pod"))) return std::nullopt;
  return account_user(ns, text_at(account, "name"), text_at(account, "uid"));
}

}  // namespace muster::local
