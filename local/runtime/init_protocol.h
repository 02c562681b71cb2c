#pragma once  // local/runtime/init_protocol.h: what node and muster-init say over a container's socket
#include <cstdint>

namespace muster::local {

// One datagram of a SOCK_SEQPACKET pair each. The node sends a signal's number as one byte; closing its end
// means "end everything now". muster-init's end closes when nothing of the container is left.
struct InitReport {
  enum Kind : std::int32_t { kStarted = 1, kStartFailed = 2, kExited = 3 };
  std::int32_t kind = 0;
  std::int32_t value = 0;   // kStarted: pid; kStartFailed: errno; kExited: wait status
  std::int32_t detail = 0;  // kStartFailed: a StartStep
};

enum StartStep : std::int32_t { kStepDirectory = 1, kStepExec = 2, kStepFork = 3 };

// muster-init CONTROL_FD WORKING_DIRECTORY COMMAND [ARG...]; its environment is the container's.
inline constexpr int kInitFixedArguments = 3;

}  // namespace muster::local
