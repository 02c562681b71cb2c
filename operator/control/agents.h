#pragma once  // operator/control/agents.h: the port through which passes reach the Agents of pods
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "operator/core/action.h"

namespace muster::op {

class Agents {  // thread-safe
 public:
  virtual ~Agents() = default;

  // Follows exactly these pods of `owner` (an object's key) from now on; of its others all is forgotten, and
  // their calls end.
  virtual void follow(const std::string& owner, const std::vector<AgentAddress>& pods) = 0;

  // The last status that the pod told us, kept when its connection breaks; none before the first.
  [[nodiscard]] virtual std::optional<control::v1::AgentStatus> status(const std::string& pod_uid) const = 0;
  // Whether the pod answers, and since when it has told what it tells now (its figures do not count), or has
  // not answered; none before it is dialled.
  struct Contact {
    bool answers = false;
    Instant since;
  };
  [[nodiscard]] virtual std::optional<Contact> contact(const std::string& pod_uid) const = 0;
  // Why pod and operator do not believe each other: the handshake fails, again and again. In words.
  [[nodiscard]] virtual std::optional<std::string> rejection(const std::string& pod_uid) const = 0;

  // Calls Configure of a pod that is followed, and returns. Does nothing while a call to this pod is under
  // way, or for a while after one (longer after each failure): ask again until the pod's status has the
  // assignment.
  virtual void configure(const ConfigurePod& pod) = 0;
  // Why the pod did not take its last assignment: the Agent's own code, kUnavailable or kDeadlineExceeded.
  [[nodiscard]] virtual std::optional<Error> refusal(const std::string& pod_uid) const = 0;
};

}  // namespace muster::op
