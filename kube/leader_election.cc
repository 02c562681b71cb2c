// kube/leader_election.cc: who may take the Lease, and until when it counts
#include "kube/leader_election.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/rfc3339.h"
#include "common/json/access.h"

namespace muster::kube {
namespace {

constexpr int kReleasedSeconds = 1;  // what client-go writes into a Lease that it gives back
constexpr std::int64_t kDurationMaxSeconds = 3600;

// Of what a replica that stands by waits between two looks: its jitter lets one of several come first, its
// end keeps a takeover within `lease_duration` + `retry_period`.
constexpr double kLookMin = 0.75;
constexpr double kLookMax = 0.95;

std::string holder_of(const Json& lease) { return text(member(lease, "spec", "holderIdentity")); }
std::string version_of(const Json& lease) { return meta_text(lease, "resourceVersion"); }

}  // namespace

LeaderElection::LeaderElection(Options options) : options_(std::move(options)), random_(options_.seed) {
  MUSTER_CHECK(options_.renew_deadline < options_.lease_duration);
  MUSTER_CHECK(options_.retry_period * 2 <= options_.renew_deadline);
  MUSTER_CHECK(!options_.identity.empty());
}

std::string LeaderElection::holder() const { return holder_of(last_); }

std::string LeaderElection::told_by_holder(const std::string& annotation) const {
  return holder().empty() ? "" : text(member(last_, "metadata", "annotations", annotation));
}

Instant LeaderElection::wake() const {
  if (sent_ || standing_ == Standing::kDeposed || standing_ == Standing::kResigned) return Instant::max();
  return standing_ == Standing::kLeading ? std::min(wake_, fence_) : wake_;
}

void LeaderElection::note_time(Instant now) {
  if (standing_ == Standing::kLeading && now >= fence_) standing_ = Standing::kDeposed;
}

std::optional<LeaderElection::Request> LeaderElection::next(Instant now, WallTime wall) {
  note_time(now);
  if (now < wake()) return std::nullopt;
  Request request;
  if (current_) {
    request.verb = last_.is_null() ? Request::Verb::kCreate : Request::Verb::kUpdate;
    request.lease = lease_of(options_.identity, wall);
  }
  current_ = false;
  sent_ = Sent{.verb = request.verb, .at = now};
  return request;
}

// `last_` as it is to be. The server stores no write that changes nothing, and nobody would see it: so its
// time is always another one.
Json LeaderElection::lease_of(const std::string& holder, WallTime wall) const {
  Json lease = last_;
  if (lease.is_null()) {
    lease = {{"apiVersion", "coordination.k8s.io/v1"},
             {"kind", "Lease"},
             {"metadata", {{"name", options_.name}, {"namespace", options_.ns}}}};
  }
  const Json& before = member(last_, "spec");
  std::string time = rfc3339_micro(wall);
  if (time == text_at(before, "renewTime")) time = rfc3339_micro(wall + std::chrono::microseconds(1));
  Json& spec = lease["spec"];
  if (!spec.is_object()) spec = Json::object();
  const bool renewal = holder_of(last_) == holder;
  const std::int64_t changes = integer_at(before, "leaseTransitions");
  if (!renewal) spec["acquireTime"] = time;
  if (!holder.empty() && !options_.annotations.empty()) {
    Json& annotations = lease["metadata"]["annotations"];
    if (!annotations.is_object()) annotations = Json::object();
    for (const auto& [name, value] : options_.annotations) annotations[name] = value;
  }
  spec["renewTime"] = time;
  spec["holderIdentity"] = holder;
  spec["leaseDurationSeconds"] =
      holder.empty() ? kReleasedSeconds
                     : std::chrono::ceil<std::chrono::seconds>(options_.lease_duration).count();
  spec["leaseTransitions"] = last_.is_null() ? 0 : changes + (renewal || holder.empty() ? 0 : 1);
  return lease;
}

// When the Lease may be taken from whoever holds it.
Instant LeaderElection::runs_out() const {
  if (last_.is_null()) return Instant::min();
  if (deleted_) return changed_at_ + options_.lease_duration;
  if (holder().empty() || holder() == options_.identity) return Instant::min();
  const std::int64_t told = integer_at(member(last_, "spec"), "leaseDurationSeconds");
  const std::chrono::milliseconds duration =
      told > 0 ? std::chrono::seconds(std::min(told, kDurationMaxSeconds)) : options_.lease_duration;
  return changed_at_ + duration;
}

// By its version, not by what is in it: a holder whose clock is stepped back may write the same again.
void LeaderElection::observe(const Json& lease, Instant now) {
  if (last_.is_null() || deleted_ || version_of(lease) != version_of(last_)) changed_at_ = now;
  last_ = lease;
  deleted_ = false;
}

void LeaderElection::look_again(Instant now) {
  const double share = kLookMin + (kLookMax - kLookMin) * random_.uniform();
  wake_ = now + std::chrono::duration_cast<std::chrono::milliseconds>(options_.retry_period * share);
}

void LeaderElection::answered(const Result<Json>& lease, Instant now) {
  MUSTER_CHECK(sent_.has_value());
  const Sent sent = *std::exchange(sent_, std::nullopt);
  note_time(now);
  if (sent.verb == Request::Verb::kGet) {
    looked(lease, now);
  } else {
    wrote(lease, now, sent.at);
  }
}

void LeaderElection::looked(const Result<Json>& lease, Instant now) {
  look_again(now);
  if (!lease && lease.error().code != Code::kNotFound) return;
  if (lease) {
    observe(*lease, now);
  } else if (!std::exchange(deleted_, true)) {
    changed_at_ = now;
  }
  seen_ = true;
  if (standing_ == Standing::kLeading && lease && !holder().empty() && holder() != options_.identity) {
    standing_ = Standing::kDeposed;  // somebody has edited it, or we were away for longer than we know
    fence_ = Instant::min();
    return;
  }
  // A Lease that somebody deletes is not free at once, either: who leads by it does not know so yet.
  if (standing_ != Standing::kLeading && now < runs_out()) {
    wake_ = std::min(wake_, runs_out());
    return;
  }
  if (!lease) last_ = nullptr;
  current_ = true;
  wake_ = now;
}

void LeaderElection::wrote(const Result<Json>& lease, Instant now, Instant sent) {
  if (lease && holder_of(*lease) == options_.identity) {
    observe(*lease, now);
    wake_ = now;
    if (now >= sent + options_.renew_deadline || standing_ == Standing::kDeposed) return;
    standing_ = Standing::kLeading;
    fence_ = sent + options_.renew_deadline;
    wake_ = sent + options_.retry_period;
    current_ = true;
    return;
  }
  const bool overtaken =
      !lease && (lease.error().code == Code::kAborted || lease.error().code == Code::kAlreadyExists ||
                 lease.error().code == Code::kNotFound);
  if (standing_ != Standing::kLeading) {
    look_again(now);
  } else if (overtaken) {
    wake_ = now + options_.retry_period / 10;  // to see by whom
  } else {
    wake_ = std::max(now, sent + options_.retry_period);
  }
}

void LeaderElection::rejoin(Instant now) {
  if (standing_ != Standing::kDeposed) return;
  standing_ = Standing::kStandby;
  fence_ = Instant::min();
  current_ = false;
  wake_ = now;
}

std::optional<LeaderElection::Request> LeaderElection::resign(Instant now, WallTime wall) {
  note_time(now);
  const bool held = standing_ == Standing::kLeading && !sent_;
  standing_ = Standing::kResigned;
  fence_ = Instant::min();
  if (!held) return std::nullopt;
  return Request{.verb = Request::Verb::kUpdate, .lease = lease_of("", wall)};
}

}  // namespace muster::kube
