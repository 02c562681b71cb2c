// operator/core/agent.cc: an AgentStatus out of a pod's termination message (proto JSON)
#include "operator/core/agent.h"

#include <charconv>
#include <cmath>
#include <string_view>

#include "common/json/read_json.h"

namespace muster::op {
namespace {

// proto JSON writes 64-bit integers as strings and takes both.
template <typename T>
void read_integer(const Json& object, const char* name, T& out) {
  const auto found = object.find(name);
  if (found == object.end()) return;
  if (found->is_number_integer()) out = found->get<T>();
  if (!found->is_string()) return;
  const auto& text = found->get_ref<const std::string&>();
  T parsed{};
  if (const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
      error == std::errc() && end == text.data() + text.size())
    out = parsed;
}

void read_number(const Json& object, const char* name, std::optional<double>& out) {
  const auto found = object.find(name);
  if (found != object.end() && found->is_number()) out = found->get<double>();
}

void read_number(const Json& object, const char* name, double& out) {
  std::optional<double> read;
  read_number(object, name, read);
  out = read.value_or(out);
}

void read_text(const Json& object, const char* name, std::string& out) {
  const auto found = object.find(name);
  if (found != object.end() && found->is_string()) out = found->get<std::string>();
}

AgentPhase phase_of(const Json& object) {
  std::string name;
  read_text(object, "phase", name);
  if (name == "PHASE_WAITING") return AgentPhase::kWaiting;
  if (name == "PHASE_STARTING") return AgentPhase::kStarting;
  if (name == "PHASE_RUNNING") return AgentPhase::kRunning;
  if (name == "PHASE_SUCCEEDED") return AgentPhase::kSucceeded;
  if (name == "PHASE_FAILED") return AgentPhase::kFailed;
  return AgentPhase::kUnspecified;
}

WorkerProgress worker_from_json(const Json& json) {
  WorkerProgress worker;
  read_integer(json, "rank", worker.rank);
  read_integer(json, "step", worker.step);
  read_integer(json, "totalSteps", worker.total_steps);
  read_number(json, "epoch", worker.epoch);
  read_number(json, "loss", worker.loss);
  read_number(json, "testLoss", worker.test_loss);
  read_number(json, "accuracy", worker.accuracy);
  read_number(json, "examplesPerSecond", worker.examples_per_second);
  read_integer(json, "payloadBytesSent", worker.payload_bytes_sent);
  read_integer(json, "payloadBytesExpected", worker.payload_bytes_expected);
  read_integer(json, "gradientBytes", worker.gradient_bytes);
  read_integer(json, "resumedFromStep", worker.resumed_from_step);
  read_text(json, "parametersSha256", worker.parameters_sha256);
  return worker;
}

AggregatorProgress aggregator_from_json(const Json& json) {
  AggregatorProgress aggregator;
  read_integer(json, "round", aggregator.round);
  read_integer(json, "rounds", aggregator.rounds);
  read_integer(json, "connected", aggregator.connected);
  read_integer(json, "selected", aggregator.selected);
  read_integer(json, "configured", aggregator.configured);
  read_integer(json, "reported", aggregator.reported);
  read_integer(json, "late", aggregator.late);
  read_integer(json, "dropped", aggregator.dropped);
  read_number(json, "loss", aggregator.loss);
  read_number(json, "accuracy", aggregator.accuracy);
  read_integer(json, "bytesSent", aggregator.bytes_sent);
  read_integer(json, "bytesReceived", aggregator.bytes_received);
  read_integer(json, "modelBytes", aggregator.model_bytes);
  read_integer(json, "bytesExpected", aggregator.bytes_expected);
  const auto reached = json.find("targetReached");
  aggregator.target_reached = reached != json.end() && *reached == true;
  return aggregator;
}

}  // namespace

std::optional<AgentStatus> agent_status_from_json(const std::string& text) {
  const Json json = read_json(text);
  if (!json.is_object() || !json.contains("phase")) return std::nullopt;
  AgentStatus status;
  read_integer(json, "membership", status.membership);
  status.phase = phase_of(json);
  read_text(json, "message", status.message);
  if (const auto worker = json.find("worker"); worker != json.end() && worker->is_object())
    status.worker = worker_from_json(*worker);
  if (const auto aggregator = json.find("aggregator"); aggregator != json.end() && aggregator->is_object())
    status.aggregator = aggregator_from_json(*aggregator);
  if (status.phase == AgentPhase::kUnspecified) return std::nullopt;
  return status;
}

}  // namespace muster::op
