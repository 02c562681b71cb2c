#pragma once  // operator/core/lifecycle.h: the turns in an object's life, as changes of its status; no pods
              // are touched
#include <string>

#include "operator/core/pass.h"

namespace muster::op {

// First pass: start time, Initialized, incarnation 1.
void start(Pass& pass);
// A new incarnation at once: the pods of the older ones go in later passes, so that a crash between
// the two steps is harmless.
enum class Cause {
  kFailure,
  kCounted,  // a failure that was counted when others failed by the same cause
  kDisruption,
  kScale
};
// kFailure counts towards `restarts_max` and fails the object when that is used up.
void restart(Pass& pass, Cause cause, const std::string& message, std::int64_t restarts_max);
// Likewise, uncounted, because one of them has keys of another authority. False: none has.
[[nodiscard]] bool restart_for_authority(Pass& pass, const std::vector<const Pod*>& pods);
// The same by a new membership of the pods that are there, which nobody is a member of yet: all run again.
void restart_in_place(Pass& pass, Cause cause, const std::string& message, std::int64_t restarts_max);
void suspend(Pass& pass, std::int64_t pods_wanted, const Hold& hold);  // `pods_wanted`: once it is resumed
void resume(Pass& pass);                                               // the active deadline starts anew
// Terminal conditions; nothing changes after them, but for may_begin_anew().
void succeed(Pass& pass, const std::string& message);
void fail(Pass& pass, const std::string& reason, const std::string& message);

// True when the active deadline has passed (the object is then failed); else looks again at that time.
[[nodiscard]] bool deadline_passed(Pass& pass, const std::optional<std::int64_t>& active_deadline_seconds);
// When pods of the present incarnation may be created: restarts in a row slow down to one a minute, the first
// is at once. `after` must hold the counters.
[[nodiscard]] std::optional<WallTime> create_not_before(const api::JobStatus& status);

// True when the API server says that a child can never be, and nothing has run yet: the object is then
// failed. Later the same is worth waiting for, as when a policy is new: the spec has worked before.
[[nodiscard]] bool children_invalid(Pass& pass);

// True for a spec that was refused (InvalidSpec) before its pods were all there, and has been changed since:
// it is to be looked at as if it were new.
[[nodiscard]] bool may_begin_anew(const api::JobStatus& status, std::int64_t generation);
void begin_anew(Pass& pass);
// True while no pods of the present template have been seen to exist: what it says may be wrong.
[[nodiscard]] bool is_new_template(const api::JobStatus& status);

// The spec cannot be read. A young object fails with InvalidSpec; one whose pods run (they began under a spec
// that could be read, so the operator is older than the CRD) is left alone and says so.
void refuse_spec(Pass& pass, const std::string& message);

// The name becomes that of a Service and part of pod names. Errors: kInvalidArgument.
[[nodiscard]] Status check_name(const std::string& name);

}  // namespace muster::op
