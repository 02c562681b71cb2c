#pragma once  // operator/control/agent_convert.h: control.proto's messages from and to core's plain values;
              // private
#include "operator/core/agent.h"
#include "proto/control.pb.h"

namespace muster::op {

[[nodiscard]] AgentStatus from_proto(const control::v1::AgentStatus& status);
[[nodiscard]] control::v1::Assignment to_proto(const Assignment& assignment);

}  // namespace muster::op
