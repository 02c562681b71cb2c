// operator/control/agent_convert.cc: field by field between control.proto and core
#include "operator/control/agent_convert.h"

namespace muster::op {
namespace {

template <typename Repeated>
std::vector<Point> history(const Repeated& points) {
  std::vector<Point> out;
  out.reserve(static_cast<std::size_t>(points.size()));
  for (const auto& point : points) {
    out.push_back({.at = point.at(), .loss = point.loss(), .accuracy = std::nullopt});
    if (point.has_accuracy()) out.back().accuracy = point.accuracy();
  }
  return out;
}

WorkerProgress worker(const control::v1::WorkerProgress& from) {
  WorkerProgress to;
  to.rank = from.rank();
  to.step = from.step();
  to.total_steps = from.total_steps();
  to.epoch = from.epoch();
  to.loss = from.loss();
  if (from.has_test_loss()) to.test_loss = from.test_loss();
  if (from.has_accuracy()) to.accuracy = from.accuracy();
  to.examples_per_second = from.examples_per_second();
  to.payload_bytes_sent = from.payload_bytes_sent();
  to.payload_bytes_expected = from.payload_bytes_expected();
  to.gradient_bytes = from.gradient_bytes();
  to.resumed_from_step = from.resumed_from_step();
  to.parameters_sha256 = from.parameters_sha256();
  to.history = history(from.history());
  return to;
}

AggregatorProgress aggregator(const control::v1::AggregatorProgress& from) {
  AggregatorProgress to;
  to.round = from.round();
  to.rounds = from.rounds();
  to.connected = from.connected();
  to.selected = from.selected();
  to.configured = from.configured();
  to.reported = from.reported();
  to.late = from.late();
  to.dropped = from.dropped();
  if (from.has_loss()) to.loss = from.loss();
  if (from.has_accuracy()) to.accuracy = from.accuracy();
  to.bytes_sent = from.bytes_sent();
  to.bytes_received = from.bytes_received();
  to.model_bytes = from.model_bytes();
  to.bytes_expected = from.bytes_expected();
  to.target_reached = from.target_reached();
  to.history = history(from.history());
  return to;
}

AgentPhase phase(control::v1::Phase from) {
  switch (from) {
    case control::v1::PHASE_WAITING: return AgentPhase::kWaiting;
    case control::v1::PHASE_STARTING: return AgentPhase::kStarting;
    case control::v1::PHASE_RUNNING: return AgentPhase::kRunning;
    case control::v1::PHASE_SUCCEEDED: return AgentPhase::kSucceeded;
    case control::v1::PHASE_FAILED: return AgentPhase::kFailed;
    default: return AgentPhase::kUnspecified;
  }
}

}  // namespace

AgentStatus from_proto(const control::v1::AgentStatus& from) {
  AgentStatus to;
  to.membership = from.membership();
  to.phase = phase(from.phase());
  to.message = from.message();
  if (from.has_worker()) to.worker = worker(from.worker());
  if (from.has_aggregator()) to.aggregator = aggregator(from.aggregator());
  if (from.has_client()) {
    to.client = ClientProgress{.clients = from.client().clients(),
                               .updates_sent = from.client().updates_sent(),
                               .updates_failed = from.client().updates_failed(),
                               .bytes_sent = from.client().bytes_sent(),
                               .bytes_received = from.client().bytes_received()};
  }
  return to;
}

control::v1::Assignment to_proto(const Assignment& from) {
  control::v1::Assignment to;
  to.set_namespace_(from.ns);
  to.set_name(from.name);
  to.set_uid(from.uid);
  to.set_membership(from.membership);
  if (const auto* part = std::get_if<WorkerAssignment>(&from.role)) {
    to.mutable_worker()->set_rank(static_cast<std::int32_t>(part->rank));
    for (const Member& member : part->roster) {
      auto& told = *to.mutable_worker()->add_roster();
      told.set_pod_uid(member.pod_uid);
      told.set_local_rank(static_cast<std::int32_t>(member.local_rank));
      told.set_address(member.address);
    }
    to.mutable_worker()->set_training(part->training);
    to.mutable_worker()->set_synchronization(part->synchronization);
    to.mutable_worker()->set_security(part->security);
  } else if (const auto* server = std::get_if<AggregatorAssignment>(&from.role)) {
    to.mutable_aggregator()->set_federation(server->federation);
  } else if (const auto* client = std::get_if<ClientAssignment>(&from.role)) {
    to.mutable_client()->set_aggregator(client->aggregator);
    to.mutable_client()->set_first_client(static_cast<std::int32_t>(client->first_client));
    to.mutable_client()->set_clients(static_cast<std::int32_t>(client->clients));
    to.mutable_client()->set_federation(client->federation);
  }
  return to;
}

}  // namespace muster::op
