#pragma once  // operator/shell/authority_secret.h: Secret muster-ca, which all replicas of the operator share
#include <chrono>
#include <optional>
#include <string>

#include "common/platform/mutex.h"
#include "kube/client.h"
#include "operator/control/issuer.h"

namespace muster::op {

inline constexpr const char* kAuthoritySecret = "muster-ca";
inline constexpr const char* kOperatorNamespace = "muster-system";

// Reads the Secret in `ns`, or makes it: whoever creates it first wins, and the others read what he made.
// Needs the rights to get this one name and to create Secrets. Errors that last until somebody acts:
// kDataLoss: its content is not what an operator makes. Else trying again may help: kNotFound: there is no
// such namespace; kPermissionDenied: a right is missing; others of kube::Client.
[[nodiscard]] Result<Issuer> load_issuer(kube::Client& client, const std::string& ns, WallTime now);

// The same for a replica that stands by: only reads. Error besides: kNotFound: nobody has made it yet.
[[nodiscard]] Result<Issuer> read_issuer(kube::Client& client, const std::string& ns, WallTime now);

// Why an operator doubts that its authority is still that of the Secret.
enum class AuthorityDoubt {
  kPodsOfAnother,  // there are pods with keys of another authority, which it would replace
  kPodsLeave,      // pods with its own keys are being deleted: by another operator, who would replace ours?
};

// Is the operator's authority still that of the Secret? Of two operators with different authorities one has
// to give way, or each would replace the other's pods for ever. Thread-safe; asks the API server at most
// every 10 s.
class AuthorityCheck {
 public:
  AuthorityCheck(kube::Client& client, std::string ns, std::string id)
      : client_(client), ns_(std::move(ns)), id_(std::move(id)) {}
  // kFailedPrecondition, for good: it is not, and this operator has to end; its successor reads the Secret.
  // One that is gone is no other operator's: it speaks against ours only beside pods of another. Others of
  // kube::Client: nobody knows.
  [[nodiscard]] Status confirm(AuthorityDoubt doubt, Instant now, WallTime wall_now) MUSTER_EXCLUDES(mutex_);
  [[nodiscard]] std::optional<Error> superseded() MUSTER_EXCLUDES(mutex_);  // what confirm has found

 private:
  [[nodiscard]] std::string difference(const Json& secret, WallTime now) const;

  kube::Client& client_;
  const std::string ns_;
  const std::string id_;
  Mutex mutex_;
  std::optional<Instant> seen_ MUSTER_GUARDED_BY(mutex_);
  std::optional<Error> superseded_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::op
