#pragma once  // operator/control/agent_client.h: dials the Agents of pods: gives assignments, follows their
              // status
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "operator/control/agents.h"
#include "pod/credentials.h"

namespace muster::op {

// Thread-safe. All pods share `threads` threads of ours, whatever their number.
class AgentClient final : public Agents {
 public:
  struct Options {
    Credentials credentials;  // the operator's
    // What Configure of a worker carries; see Issuer.
    std::function<Result<std::string>(const std::string& uid, std::int64_t membership)> membership_key{};
    int threads = 1;
    int port = 8470;  // kControlPort; another in tests
    std::chrono::milliseconds configure_timeout{5000};
    std::chrono::milliseconds retry_first{250};      // before a call that ended is made again, doubled up to
    std::chrono::milliseconds retry_max{5000};       // this
    std::chrono::milliseconds probe_interval{2000};  // between looks at why pods are silent
    // Something of one of `owner`'s pods has changed; `progress`: no more than its figures. On a thread of
    // ours; never blocks.
    std::function<void(const std::string& owner, bool progress)> on_change{};
    // A pod did not take its assignment: for the log. On a thread of ours; never blocks.
    std::function<void(const std::string& owner, const std::string& pod, const Error& why)> on_refusal{};
    // What a pod tells of itself cannot be taken: too long, not our protocol, another pod's. For the log,
    // once a reason. On a thread of ours; never blocks.
    std::function<void(const std::string& owner, const std::string& pod, const Error& why)> on_unusable{};
  };
  explicit AgentClient(Options options);
  ~AgentClient() override;  // ends all calls
  AgentClient(const AgentClient&) = delete;
  AgentClient& operator=(const AgentClient&) = delete;

  void follow(const std::string& owner, const std::vector<AgentAddress>& pods) override;
  [[nodiscard]] std::optional<control::v1::AgentStatus> status(const std::string& pod_uid) const override;
  [[nodiscard]] std::optional<Contact> contact(const std::string& pod_uid) const override;
  [[nodiscard]] std::optional<std::string> rejection(const std::string& pod_uid) const override;
  void configure(const ConfigurePod& pod) override;
  [[nodiscard]] std::optional<Error> refusal(const std::string& pod_uid) const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::op
