// cli/job_view.cc: what a person wants to know of one DistributedJob or FederatedRound and of
#include "cli/job_view.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

#include "cli/format.h"
#include "common/base/rfc3339.h"
#include "common/json/access.h"
#include "common/json/read_json.h"
#include "common/pods/pod_state.h"
#include "common/spec/run_policy.h"
#include "pod/pod_contract.h"

namespace muster::cli {
namespace {

// Integers of 64 bits are strings in protobuf's JSON.
template <typename T>
T integer(const Json& object, const char* name) {
  const Json& value = member(object, name);
  if (value.is_number()) return value.get<T>();
  T out = 0;
  if (value.is_string()) {
    const auto& digits = value.get_ref<const std::string&>();
    std::from_chars(digits.data(), digits.data() + digits.size(), out);
  }
  return out;
}

std::optional<double> number(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_number() ? std::optional<double>(value.get<double>()) : std::nullopt;
}

void read_conditions(const Json& conditions, JobView& view) {
  if (!conditions.is_array()) return;
  for (const Json& condition : conditions) {
    const std::string type = text(member(condition, "type"));
    const bool is_true = text(member(condition, "status")) == "True";
    if (type == "Succeeded" && is_true) view.succeeded = true;
    if (type == "Failed" && is_true) view.failed = true;
    if (type == "AllWorkersTrain" && !is_true && view.message.empty()) {
      view.reason = text(member(condition, "reason"));
      view.message = text(member(condition, "message"));
    }
    const bool tells =
        is_true && (type == "Failed" || (type == "Restarting" && !view.failed) || type == "Suspended");
    if (tells) {  // before any other
      view.reason = text(member(condition, "reason"));
      view.message = text(member(condition, "message"));
    }
  }
}

void read_progress(const Json& progress, JobView& view) {
  view.at = integer<std::int64_t>(progress, view.federated ? "round" : "step");
  view.total = integer<std::int64_t>(progress, view.federated ? "rounds" : "totalSteps");
  if (const Json& percent = member(progress, "percent"); percent.is_number_integer())
    view.percent = percent.get<std::int64_t>();
  view.time_left = text(member(progress, "timeLeft"));
  view.loss = number(progress, "loss");
  view.accuracy = number(progress, "accuracy");
  view.examples_per_second = number(progress, "examplesPerSecond").value_or(0);
  const bool payload = member(progress, "payloadBytesSent").is_null();
  view.bytes_sent = integer<std::uint64_t>(progress, payload ? "bytesSent" : "payloadBytesSent");
  view.bytes_expected = integer<std::uint64_t>(progress, payload ? "bytesExpected" : "payloadBytesExpected");
  if (view.federated) view.bytes_sent += integer<std::uint64_t>(progress, "bytesReceived");
  view.resumed_from = integer<std::int64_t>(progress, "resumedFromStep");
  view.clients = integer<std::int64_t>(progress, "connected");
  view.selected = integer<std::int64_t>(progress, "selected");
  view.reported = integer<std::int64_t>(progress, "reported");
  view.dropped = integer<std::int64_t>(progress, "dropped");
  view.digest = text(member(progress, "parametersSha256"));
  view.topology = text(member(progress, "topology"));
  view.goodput = number(progress, "goodput");
  if (const Json& warnings = member(progress, "warnings"); warnings.is_array())
    for (const Json& warning : warnings) view.warnings.push_back(text(warning));
}

void read_spec(const Json& spec, JobView& view) {
  const Json& training = member(spec, "training");
  const std::string dataset = text(member(training, "dataset", "name"));
  view.images = dataset == "fashion-mnist" || dataset == "idx";
  const std::string model = text(member(training, "model", "name"));
  std::string what =
      training.is_object() ? fmt::format("{} on {}", model.empty() ? "cnn" : model, dataset) : "";
  const bool program = member(training, "program").is_object();
  if ((!training.is_object() && !view.federated) || program) what = "own program";
  if (view.federated) {
    const auto rounds = integer<std::int64_t>(spec, "rounds");
    if (view.total == 0) view.total = rounds;
    what += fmt::format(", {} clients", integer<std::int64_t>(member(spec, "clients"), "count"));
    view.model_path = text(member(spec, "aggregator", "storage", "path"));
  } else {
    const Json& replicas = member(spec, "workers", "replicas");
    const std::int64_t workers = replicas.is_number_integer() ? replicas.get<std::int64_t>() : 1;
    what += fmt::format(", {} worker{}", workers, workers == 1 ? "" : "s");
    view.model_path = text(member(training, "checkpoint", "path"));
    view.picks_topology = text(member(spec, "synchronization", "topology")) == "Auto";
    view.own_models = text(member(spec, "synchronization", "topology")) == "Gossip";
    if (view.own_models && !view.model_path.empty()) view.model_path += "/peer-0";
  }
  view.description = what;
}

// The termination message of a container that ended well; nothing if it is no report.
std::optional<PodReport> read_report(const std::string& message) {
  const Json status = read_json(message);
  const Json& worker = member(status, "worker");
  const Json& aggregator = member(status, "aggregator");
  if (!worker.is_object() && !aggregator.is_object()) return std::nullopt;
  PodReport report;
  const Json& progress = worker.is_object() ? worker : aggregator;
  report.loss = number(progress, "loss");
  report.accuracy = number(progress, "accuracy");
  report.examples_per_second = number(progress, "examplesPerSecond").value_or(0);
  if (worker.is_object()) {
    report.rank = integer<std::int64_t>(worker, "rank");
    report.bytes_sent = integer<std::uint64_t>(worker, "payloadBytesSent");
    report.bytes_expected = integer<std::uint64_t>(worker, "payloadBytesExpected");
    report.digest = text(member(worker, "parametersSha256"));
    report.at = integer<std::int64_t>(worker, "step");
    report.total = integer<std::int64_t>(worker, "totalSteps");
  } else {
    report.bytes_sent =
        integer<std::uint64_t>(aggregator, "bytesSent") + integer<std::uint64_t>(aggregator, "bytesReceived");
    report.bytes_expected = integer<std::uint64_t>(aggregator, "bytesExpected");
    report.at = integer<std::int64_t>(aggregator, "round");
    report.total = integer<std::int64_t>(aggregator, "rounds");
  }
  return report;
}

const char* phase_name(PodPhase phase) {
  switch (phase) {
    case PodPhase::kRunning: return "Running";
    case PodPhase::kSucceeded: return "Succeeded";
    case PodPhase::kFailed: return "Failed";
    case PodPhase::kUnknown: return "Unknown";
    case PodPhase::kPending: break;
  }
  return "Pending";
}

// What its containers say; the pod's own reason comes first.
void read_containers(const Json& pod, PodView& view) {
  const PodState state = pod_state(pod, view.role);
  view.phase = phase_name(state.phase);
  view.container = view.main_container;
  if (state.end && state.end->exit_code == 0) view.report = read_report(state.end->message);
  if (state.end && state.phase == PodPhase::kFailed) {
    if (!state.end->container.empty()) view.container = state.end->container;
    view.exit = exit_words(*state.end);
    std::string_view words = state.end->message;
    if (words.starts_with(kEndingWord)) words.remove_prefix(std::string_view(kEndingWord).size());
    if (!words.empty()) view.message = words;
  } else if (view.reason.empty() && !state.end) {
    view.reason = state.waiting_reason;
    view.message = state.waiting_message;
  }
}

}  // namespace

JobView view_job(const Json& object) {
  JobView view;
  const Json& metadata = member(object, "metadata");
  const Json& status = member(object, "status");
  view.kind = text(member(object, "kind"));
  view.name = text(member(metadata, "name"));
  view.name_space = text(member(metadata, "namespace"));
  view.uid = text(member(metadata, "uid"));
  view.federated = view.kind == "FederatedRound";
  if (std::string phase = text(member(status, "phase")); !phase.empty()) view.phase = std::move(phase);
  view.ready = text(member(status, "ready"));
  view.restarts = integer<std::int64_t>(status, "restarts");
  view.disruptions = integer<std::int64_t>(status, "disruptions");
  view.started = parse_rfc3339(text(member(status, "startTime")));
  view.completed = parse_rfc3339(text(member(status, "completionTime")));
  view.history = curve_from_history(member(status, "history"));
  read_conditions(member(status, "conditions"), view);
  read_progress(member(status, "progress"), view);
  read_spec(member(object, "spec"), view);
  if (spec::managed_elsewhere(member(object, "spec"))) {
    view.manager = text(member(object, "spec", "managedBy"));
    if (text(member(status, "phase")).empty()) view.phase = "ManagedElsewhere";
    if (view.message.empty()) {
      view.reason = "ManagedElsewhere";
      view.message = fmt::format(
          "spec.managedBy is {}: that controller runs it, perhaps in another cluster, and "
          "Muster's operator leaves it alone",
          view.manager);
    }
  }
  return view;
}

PodView view_pod(const Json& pod) {
  PodView view;
  const Json& metadata = member(pod, "metadata");
  const Json& labels = member(metadata, "labels");
  const Json& status = member(pod, "status");
  view.name = text(member(metadata, "name"));
  view.name_space = text(member(metadata, "namespace"));
  view.uid = text(member(metadata, "uid"));
  view.job = text(member(labels, "muster.dev/job-name"));
  view.role = text(member(labels, "muster.dev/role"));
  view.index = view.rank = integer<std::int64_t>(labels, "muster.dev/index");
  view.reason = text(member(status, "reason"));
  view.message = text(member(status, "message"));
  view.main_container = role_container_name(pod, view.role);
  read_containers(pod, view);
  if (view.phase == "Pending" && view.reason.empty() && member(status, "conditions").is_array()) {
    for (const Json& condition : member(status, "conditions")) {
      if (text(member(condition, "type")) != "PodScheduled" || text(member(condition, "status")) != "False")
        continue;
      view.reason = text(member(condition, "reason"));
      view.message = text(member(condition, "message"));
    }
  }
  return view;
}

void give_ranks(const Json& job, PodView& pod) {
  const Json& roster = member(job, "status", "roster");
  if (pod.role != "worker" || !roster.is_array() || roster.empty()) return;
  pod.rank = -1;
  for (std::size_t rank = 0; rank < roster.size(); ++rank)
    if (text(member(roster[rank], "podUID")) == pod.uid) pod.rank = static_cast<std::int64_t>(rank);
}

std::string trouble_of(const PodView& pod) {
  std::string why = pod.failed() || pod.phase == "Pending" ? pod.reason : "";
  if (!pod.exit.empty()) why += (why.empty() ? "exit " : ", exit ") + pod.exit;
  return why.empty() ? "" : with_last_words(why, pod.message);
}

}  // namespace muster::cli
