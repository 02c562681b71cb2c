// local/runtime/probe.cc: periods and thresholds of probes
#include "local/runtime/probe.h"

#include <algorithm>
#include <utility>

#include "local/runtime/json_access.h"

namespace muster::local {
namespace {

std::chrono::seconds seconds_of(const Json& spec, const char* name, std::int64_t otherwise,
                                std::int64_t least) {
  return std::chrono::seconds(std::max(integer(member(spec, name), otherwise), least));
}

}  // namespace

std::string probe_name(ProbeKind kind) {
  switch (kind) {
    case ProbeKind::kStartup: return "Startup";
    case ProbeKind::kLiveness: return "Liveness";
    case ProbeKind::kReadiness: return "Readiness";
  }
  return "";
}

Probe::Probe(ProbeKind kind, Json spec, Instant started)
    : kind_(kind),
      spec_(std::move(spec)),
      period_(seconds_of(spec_, "periodSeconds", 10, 1)),
      timeout_(seconds_of(spec_, "timeoutSeconds", 1, 1)),
      success_threshold_(std::max<std::int64_t>(integer(member(spec_, "successThreshold"), 1), 1)),
      failure_threshold_(std::max<std::int64_t>(integer(member(spec_, "failureThreshold"), 3), 1)),
      due_(started + seconds_of(spec_, "initialDelaySeconds", 0, 0)) {}

ProbeVerdict Probe::answer(bool success, Instant now) {
  under_way_ = false;
  due_ = now + period_;
  in_a_row_ = success == last_success_ ? in_a_row_ + 1 : 1;
  last_success_ = success;
  if (in_a_row_ < (success ? success_threshold_ : failure_threshold_)) return ProbeVerdict::kUndecided;
  in_a_row_ = 0;
  return success ? ProbeVerdict::kHealthy : ProbeVerdict::kUnhealthy;
}

}  // namespace muster::local
