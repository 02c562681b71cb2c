#pragma once  // operator/control/followed_pod.h: what AgentClient knows of one pod
#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "operator/control/agent_calls.h"
#include "operator/control/agent_probe.h"

namespace muster::op {

struct FollowedPod {
  explicit FollowedPod(const Backoff& backoff) : configure_backoff(backoff) {}
  std::string owner;
  std::shared_ptr<grpc::Channel> channel;
  std::shared_ptr<Follower> follower;
  Instant dialled{};             // when the follower began; before: it waits for its turn
  std::shared_ptr<Probe> probe;  // the one under way
  int rejections = 0;            // probes in a row that met one
  std::string rejection;
  std::optional<control::v1::AgentStatus> status;
  bool answers = false;                        // its stream is open and has told
  Instant since{};                             // it has told its present news, or has not answered
  std::string unusable;                        // why a stream has ended, when that was told
  std::shared_ptr<ConfigureCall> configuring;  // the one under way
  Backoff configure_backoff;
  Instant configure_after{};
  std::string configured_with;  // which assignment the last call had: another one need not wait
  std::optional<Error> refusal;
};

}  // namespace muster::op
