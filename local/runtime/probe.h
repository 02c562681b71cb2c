#pragma once  // local/runtime/probe.h: when a probe of a container is due, and what its answers amount to.
              // Pure
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/json/fields.h"

namespace muster::local {

enum class ProbeKind { kStartup, kLiveness, kReadiness };
enum class ProbeVerdict { kUndecided, kHealthy, kUnhealthy };

// One probe of one run of a container: initial delay, period, thresholds as the API server has defaulted
// them.
class Probe {
 public:
  Probe(ProbeKind kind, Json spec, Instant started);

  [[nodiscard]] ProbeKind kind() const { return kind_; }
  [[nodiscard]] const Json& spec() const { return spec_; }
  [[nodiscard]] std::chrono::seconds timeout() const { return timeout_; }
  [[nodiscard]] std::optional<Instant> due() const { return under_way_ ? std::nullopt : std::optional(due_); }
  void begin() { under_way_ = true; }
  // kHealthy or kUnhealthy once so many answers in a row agree; the count then starts again.
  [[nodiscard]] ProbeVerdict answer(bool success, Instant now);

 private:
  ProbeKind kind_;
  Json spec_;
  std::chrono::seconds period_;
  std::chrono::seconds timeout_;
  std::int64_t success_threshold_;
  std::int64_t failure_threshold_;
  std::int64_t in_a_row_ = 0;
  bool last_success_ = false;
  bool under_way_ = false;
  Instant due_;
};

// "Liveness", as in "Liveness probe failed: ...".
[[nodiscard]] std::string probe_name(ProbeKind kind);

}  // namespace muster::local
