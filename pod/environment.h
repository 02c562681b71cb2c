#pragma once  // pod/environment.h: what a Muster container knows of its pod (ARCHITECTURE.md, "The pod
              // contract")
#include <cstdint>
#include <filesystem>
#include <string>

#include "common/base/result.h"

namespace muster {

struct PodEnvironment {
  std::string name;                       // MUSTER_POD_NAME
  std::string uid;                        // MUSTER_POD_UID: the roster of an assignment names it
  std::string ip;                         // MUSTER_POD_IP: the address to listen on
  std::string job_uid;                    // MUSTER_JOB_UID: assignments of other jobs are refused
  std::string role;                       // MUSTER_ROLE: worker, server, aggregator, client
  std::int64_t index = 0;                 // MUSTER_INDEX: of the pod within its role
  std::filesystem::path termination_log;  // MUSTER_TERMINATION_LOG, else /dev/termination-log
};

// Reads the variables; the error names the one that is missing or wrong and says who sets it.
[[nodiscard]] Result<PodEnvironment> pod_environment();

// At most 4096 bytes, written for the kubelet; failures to write are ignored (there may be no file).
void write_termination_message(const PodEnvironment& pod, const std::string& message);

}  // namespace muster
