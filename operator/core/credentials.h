#pragma once  // operator/core/credentials.h: which Secrets hold the keys of an object's pods, and when they
              // are made
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "operator/core/pass.h"

namespace muster::op {

// One Secret holds the keys of this many indexes: 1,000 workers have 63.
inline constexpr std::int64_t kCredentialsBlock = 16;

// Annotation of pods whose commands muster-exec starts: the authority of its keys, as label muster.dev/ca has
// it for pods of Muster's own programs, whose ports alone may be reached (the chart's network policies).
inline constexpr const char* kExecAuthorityAnnotation = "muster.dev/exec-ca";

// "<object>-<uid8>-<ca>-<role>-<block>": the Secret that holds the keys of pod `index`. An object made anew
// has another uid, a new authority another id, so a name that is taken was taken by an earlier pass of ours.
[[nodiscard]] std::string credentials_name(const api::ObjectMeta& owner, const std::string& ca,
                                           const std::string& role, std::int64_t index);

// "<object>-<uid8>-<ca>-progress": the Secret with the token of a job without spec.training.
[[nodiscard]] std::string token_name(const api::ObjectMeta& owner, const std::string& ca);
// Puts its creation before that of the first pod; made: as with CredentialsBlocks.
void make_token(Pass& pass);

// Puts the creation of a block's Secret before that of its first pod. A block counts as made when a pod of it
// with keys of the present authority is in the snapshot, or when this process has made it: replacements and
// scaling inside a block write nothing, and an operator that has just started writes at most once more.
class CredentialsBlocks {
 public:
  CredentialsBlocks(Pass& pass, std::string role);
  void before_pod(std::int64_t index);

 private:
  Pass& pass_;
  std::string role_;
  std::set<std::int64_t> made_;
};

// Makes the Secret again, once a minute, of pods that have been waiting on their node for a minute, or do not
// believe the operator: it may have been deleted, or was somebody else's and is gone now.
void renew_credentials(Pass& pass, const std::vector<const Pod*>& pods);

// The keys of a live pod of ours are of another authority than the operator's: it cannot be talked to any
// more.
[[nodiscard]] bool has_other_authority(const Observed& seen, const Pod& pod);
[[nodiscard]] std::string other_authority(const Pass& pass, const Pod& pod);  // in words

// Condition CredentialsRejected: a pod of these does not take the operator for the operator, or proves
// another name than its own.
void tell_rejections(Pass& pass, const std::vector<const Pod*>& pods);

}  // namespace muster::op
