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

enum StartStep : std::int32_t {
  kStepDirectory = 1,
  kStepExec = 2,
  kStepFork = 3,
  kStepNamespace = 4,  // a mount and UTS namespace of its own
  kStepBind = 5,       // a file of the node over one of the machine, in there
};

// muster-init CONTROL_FD WORKING_DIRECTORY HOSTNAME BINDS [FROM AT]... [COMMAND [ARG...]]; its environment is
// the container's. BINDS counts the pairs. Without a HOSTNAME there are no namespaces; without a COMMAND it
// reports kStarted or kStartFailed for the namespaces alone, and ends.
inline constexpr int kInitFixedArguments = 5;

}  // namespace muster::local
