#pragma once  // operator/control/agent_news.h: what differs between two words of an Agent, or to it. Pure
#include <optional>
#include <string>

#include "operator/core/action.h"

namespace muster::op {

// Whether more than a figure has changed: a decision may hang on it.
[[nodiscard]] inline bool is_news(const std::optional<control::v1::AgentStatus>& before,
                                  const control::v1::AgentStatus& after) {
  return !before || before->phase() != after.phase() || before->membership() != after.membership() ||
         before->message() != after.message() || before->exec().ready() != after.exec().ready() ||
         before->exec().end().membership() != after.exec().end().membership();
}

// What the pod is to do by the assignment: of another than the last it is told at once.
[[nodiscard]] inline std::string orders_of(const ConfigurePod& pod) {
  const std::int64_t membership = pod.common ? pod.common->membership() : pod.own.membership();
  return std::to_string(membership) + (pod.own.exec().start() ? " start" : "");
}

}  // namespace muster::op
