// operator/shell/authority_secret.cc: Secret muster-ca, which all replicas of the operator share
#include "operator/shell/authority_secret.h"

#include <fmt/format.h>

#include "common/base/base64.h"
#include "common/json/access.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

constexpr const char* kAuthorityKeyName = "ca.key";
constexpr const char* kCertificateName = "ca.crt";
constexpr const char* kDataKeyName = "data.key";
constexpr std::chrono::seconds kConfirmedFor{10};

Json to_json(const Issuer::Secrets& secrets, const std::string& ns) {
  return {{"apiVersion", "v1"},
          {"kind", "Secret"},
          {"metadata",
           {{"name", kAuthoritySecret}, {"namespace", ns}, {"labels", {{kManagedByLabel, kManagedBy}}}}},
          {"type", "Opaque"},
          {"immutable", true},
          {"data",
           {{kAuthorityKeyName, base64_encode(secrets.authority.key)},
            {kCertificateName, base64_encode(secrets.authority.certificate)},
            {kDataKeyName, base64_encode(secrets.data_key)}}}};
}

Result<Issuer> from_json(const Json& secret, const std::string& ns, WallTime now) {
  const auto part = [&](const char* name) {
    return base64_decode(text(member(secret, "data", name))).value_or("");
  };
  auto issuer =
      Issuer::load({.authority = {.key = part(kAuthorityKeyName), .certificate = part(kCertificateName)},
                    .data_key = part(kDataKeyName)},
                   now);
  if (issuer) return issuer;
  return data_loss(fmt::format(
      "Secret {}/{} cannot be used: {}; restore it from a backup, or delete it (kubectl --namespace {} "
      "delete secret {}): the operator then makes another and replaces the pods of all objects once",
      ns, kAuthoritySecret, issuer.error().message, ns, kAuthoritySecret));
}

Result<Json> read_or_create(kube::Client& client, const std::string& ns, WallTime now) {
  auto found = client.get(kube::kSecrets, ns, kAuthoritySecret);
  if (found || found.error().code != Code::kNotFound) return found;
  MUSTER_ASSIGN(const Issuer::Secrets made, Issuer::make_secrets(now));
  const auto created = client.create(kube::kSecrets, ns, to_json(made, ns));
  // Read back in any case: another replica may have been faster, and a lost answer looks like that, too.
  if (created || created.error().code == Code::kAlreadyExists)
    return client.get(kube::kSecrets, ns, kAuthoritySecret);
  if (created.error().code != Code::kNotFound) return created.error();
  return not_found(
      fmt::format("there is no namespace {}, where the operator keeps its Secret {}: kubectl create "
                  "namespace {}, or give another with --operator-namespace",
                  ns, kAuthoritySecret, ns));
}

}  // namespace

Result<Issuer> load_issuer(kube::Client& client, const std::string& ns, WallTime now) {
  MUSTER_ASSIGN(const Json secret, read_or_create(client, ns, now));
  return from_json(secret, ns, now);
}

Result<Issuer> read_issuer(kube::Client& client, const std::string& ns, WallTime now) {
  MUSTER_ASSIGN(const Json secret, client.get(kube::kSecrets, ns, kAuthoritySecret));
  return from_json(secret, ns, now);
}

Status AuthorityCheck::confirm(AuthorityDoubt doubt, Instant now, WallTime wall_now) {
  const MutexLock lock(mutex_);
  if (superseded_) return *superseded_;
  if (seen_ && now - *seen_ < kConfirmedFor) return {};
  const auto secret = client_.get(kube::kSecrets, ns_, kAuthoritySecret);
  const bool gone = !secret && secret.error().code == Code::kNotFound;
  if (!secret && !gone) return secret.error();
  if (gone && doubt == AuthorityDoubt::kPodsLeave) return {};
  const std::string differs = gone ? "is gone" : difference(*secret, wall_now);
  if (differs.empty()) {
    seen_ = now;
    return {};
  }
  const char* const beside = doubt == AuthorityDoubt::kPodsLeave ? "somebody deletes pods that have"
                                                                 : "there are pods that do not have";
  superseded_ = failed_precondition(
      fmt::format("Secret {}/{} {}, and {} keys of authority {}, this operator's: it ends, and reads the "
                  "Secret when it is started again",
                  ns_, kAuthoritySecret, differs, beside, id_));
  return *superseded_;
}

// In what the Secret's authority is not ours; "" when it is.
std::string AuthorityCheck::difference(const Json& secret, WallTime now) const {
  const auto issuer = from_json(secret, ns_, now);
  if (!issuer) return "has changed";
  return issuer->id() == id_ ? "" : "is of authority " + issuer->id();
}

std::optional<Error> AuthorityCheck::superseded() {
  const MutexLock lock(mutex_);
  return superseded_;
}

}  // namespace muster::op
