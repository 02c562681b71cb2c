#pragma once  // common/platform/pod.h: what a Muster container knows of its pod (ARCHITECTURE.md, "The pod
              // contract")
#include <cstdint>
#include <filesystem>
#include <string>

#include "common/base/result.h"

namespace muster {

inline constexpr int kControlPort = 8470;  // gRPC: muster.control.v1.Agent
inline constexpr int kDataPort = 8471;     // worker: ring transport; aggregator: gRPC federation service
inline constexpr int kMetricsPort = 8472;  // HTTP: /metrics /healthz /readyz

// Exit codes of worker, aggregator and device; the operator restarts on every other non-zero code.
inline constexpr int kExitInvalid =
    65;  // spec or data cannot work (bad file, NaN loss): a restart would not help
inline constexpr int kExitStorage = 74;   // cannot write a checkpoint (disk full, no permission): likewise
inline constexpr int kExitRetry = 75;     // a peer was lost or a wait ran out: a restart may help
inline constexpr int kExitStopped = 143;  // 128 + SIGTERM: it was asked to stop

struct PodEnvironment {
  std::string name;                       // MUSTER_POD_NAME
  std::string ip;                         // MUSTER_POD_IP: the address to listen on
  std::string job_uid;                    // MUSTER_JOB_UID: assignments of other jobs are refused
  std::int64_t generation = 0;            // MUSTER_GENERATION: likewise of other generations; 0: not known
  std::filesystem::path termination_log;  // MUSTER_TERMINATION_LOG, else /dev/termination-log
};

// Reads the variables; the error names the one that is missing or wrong and says who sets it.
[[nodiscard]] Result<PodEnvironment> pod_environment();

// At most 4096 bytes, written for the kubelet; failures to write are ignored (there may be no file).
void write_termination_message(const PodEnvironment& pod, const std::string& message);

}  // namespace muster
