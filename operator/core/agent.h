#pragma once  // operator/core/agent.h: proto/control.proto as plain values, so that core needs no gRPC
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/json/fields.h"

namespace muster::op {

enum class AgentPhase {
  kUnspecified = 0,
  kWaiting,
  kStarting,
  kRunning,
  kSucceeded,
  kFailed
};  // as control.proto

struct Point {
  std::int64_t at = 0;
  double loss = 0;
  std::optional<double> accuracy;
};

struct WorkerProgress {
  std::int64_t rank = 0, step = 0, total_steps = 0;
  double epoch = 0, loss = 0;
  std::optional<double> test_loss, accuracy;
  double examples_per_second = 0;
  std::uint64_t payload_bytes_sent = 0, payload_bytes_expected = 0, gradient_bytes = 0;
  std::int64_t resumed_from_step = 0;
  std::string parameters_sha256;
  std::vector<Point> history;
};

struct AggregatorProgress {
  std::int64_t round = 0, rounds = 0, connected = 0, selected = 0, configured = 0, reported = 0, late = 0,
               dropped = 0;
  std::optional<double> loss, accuracy;
  std::uint64_t bytes_sent = 0, bytes_received = 0, model_bytes = 0, bytes_expected = 0;
  bool target_reached = false;
  std::vector<Point> history;
};

struct ClientProgress {
  std::int64_t clients = 0, updates_sent = 0, updates_failed = 0;
  std::uint64_t bytes_sent = 0, bytes_received = 0;
};

struct AgentStatus {
  std::int64_t membership = 0;  // 0: no assignment yet
  AgentPhase phase = AgentPhase::kUnspecified;
  std::string message;
  std::optional<WorkerProgress> worker;
  std::optional<AggregatorProgress> aggregator;
  std::optional<ClientProgress> client;
};

struct Member {  // a rank of a membership
  std::string pod_uid;
  std::int64_t local_rank = 0;  // among the ranks of its pod
  std::string address;          // "ip:8471"
};

struct WorkerAssignment {
  std::int64_t rank = 0;
  std::vector<Member> roster;  // in order of rank
  std::string training;        // JSON of common/spec/training.h
  std::string synchronization;
  std::string security;
};
struct AggregatorAssignment {
  std::string federation;  // JSON of common/spec/federation.h
};
struct ClientAssignment {
  std::string aggregator;  // "ip:8471"
  std::int64_t first_client = 0, clients = 0;
  std::string federation;
};

struct Assignment {
  std::string ns, name, uid;    // of the DistributedJob or FederatedRound
  std::int64_t membership = 0;  // the number of the roster, >= 1
  std::variant<WorkerAssignment, AggregatorAssignment, ClientAssignment> role;
};

// Reads the proto JSON form of AgentStatus, as a pod leaves it in its termination message.
// nullopt when `text` is anything else: last words come from any program.
[[nodiscard]] std::optional<AgentStatus> agent_status_from_json(const std::string& text);

}  // namespace muster::op
