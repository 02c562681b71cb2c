#pragma once  // operator/control/agent_client.h: dials the Agents of pods: gives assignments, follows their
              // status
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "operator/core/action.h"

namespace muster::op {

// Thread-safe. All pods share `threads` threads of ours, whatever their number.
class AgentClient {
 public:
  struct Options {
    int threads = 1;
    int port = 8470;  // kControlPort; another in tests
    std::chrono::milliseconds configure_timeout{5000};
    std::chrono::milliseconds retry_first{250};  // before a Watch that ended is opened again, doubled up to
    std::chrono::milliseconds retry_max{5000};   // this
    // A status of one of `owner`'s pods has changed. On a thread of ours; never blocks.
    std::function<void(const std::string& owner)> on_change;
  };
  explicit AgentClient(Options options);
  ~AgentClient();  // ends all calls
  AgentClient(const AgentClient&) = delete;
  AgentClient& operator=(const AgentClient&) = delete;

  // Follows exactly these pods of `owner` (an object's key) from now on; statuses of its others are
  // forgotten.
  void follow(const std::string& owner, const std::vector<AgentAddress>& pods);

  // The last status that the pod told us, kept when its connection breaks; none before the first.
  [[nodiscard]] std::optional<AgentStatus> status(const std::string& pod_uid) const;

  // Calls Configure of all these pods at once; results in the same order. Errors: the Agent's own code, or
  // kUnavailable and kDeadlineExceeded.
  [[nodiscard]] std::vector<Status> configure(std::span<const ConfigurePod* const> pods);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::op
