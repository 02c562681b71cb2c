// cli/job_view.cc: what a person wants to know of one DistributedJob or FederatedRound and of
#include "cli/job_view.h"

#include <fmt/format.h>

#include <charconv>

#include "cli/format.h"

namespace muster::cli {
namespace {

const Json& child(const Json& object, const char* name) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto at = object.find(name);
  return at == object.end() ? kNothing : *at;
}

std::string text(const Json& object, const char* name) {
  const Json& value = child(object, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

// Integers of 64 bits are strings in protobuf's JSON.
template <typename T>
T integer(const Json& object, const char* name) {
  const Json& value = child(object, name);
  if (value.is_number()) return value.get<T>();
  T out = 0;
  if (value.is_string()) {
    const auto& digits = value.get_ref<const std::string&>();
    std::from_chars(digits.data(), digits.data() + digits.size(), out);
  }
  return out;
}

std::optional<double> number(const Json& object, const char* name) {
  const Json& value = child(object, name);
  return value.is_number() ? std::optional<double>(value.get<double>()) : std::nullopt;
}

void read_conditions(const Json& conditions, JobView& view) {
  if (!conditions.is_array()) return;
  for (const Json& condition : conditions) {
    const std::string type = text(condition, "type");
    const bool is_true = text(condition, "status") == "True";
    if (type == "Succeeded" && is_true) view.succeeded = true;
    if (type == "Failed" && is_true) view.failed = true;
    const bool tells =
        is_true && (type == "Failed" || (type == "Restarting" && !view.failed) || type == "Suspended");
    if (tells) {
      view.reason = text(condition, "reason");
      view.message = text(condition, "message");
    }
  }
}

void read_progress(const Json& progress, JobView& view) {
  view.at = integer<std::int64_t>(progress, view.federated ? "round" : "step");
  view.total = integer<std::int64_t>(progress, view.federated ? "rounds" : "totalSteps");
  view.loss = number(progress, "loss");
  view.accuracy = number(progress, "accuracy");
  view.examples_per_second = number(progress, "examplesPerSecond").value_or(0);
  const bool payload = child(progress, "payloadBytesSent").is_null();
  view.bytes_sent = integer<std::uint64_t>(progress, payload ? "bytesSent" : "payloadBytesSent");
  view.bytes_expected = integer<std::uint64_t>(progress, payload ? "bytesExpected" : "payloadBytesExpected");
  if (view.federated) view.bytes_sent += integer<std::uint64_t>(progress, "bytesReceived");
  view.resumed_from = integer<std::int64_t>(progress, "resumedFromStep");
  view.clients = integer<std::int64_t>(progress, "connected");
  view.selected = integer<std::int64_t>(progress, "selected");
  view.reported = integer<std::int64_t>(progress, "reported");
  view.dropped = integer<std::int64_t>(progress, "dropped");
  view.digest = text(progress, "parametersSha256");
}

void read_spec(const Json& spec, JobView& view) {
  const Json& training = child(spec, "training");
  const std::string dataset = text(child(training, "dataset"), "name");
  view.images = dataset == "fashion-mnist" || dataset == "idx";
  const std::string model = text(child(training, "model"), "name");
  std::string what =
      training.is_object() ? fmt::format("{} on {}", model.empty() ? "cnn" : model, dataset) : "";
  if (!training.is_object() && !view.federated) what = "own program";
  if (view.federated) {
    const auto rounds = integer<std::int64_t>(spec, "rounds");
    if (view.total == 0) view.total = rounds;
    what += fmt::format(", {} clients", integer<std::int64_t>(child(spec, "clients"), "count"));
    view.model_path = text(child(child(spec, "aggregator"), "storage"), "path");
  } else {
    const Json& replicas = child(child(spec, "workers"), "replicas");
    const std::int64_t workers = replicas.is_number() ? replicas.get<std::int64_t>() : 1;
    what += fmt::format(", {} worker{}", workers, workers == 1 ? "" : "s");
    view.model_path = text(child(training, "checkpoint"), "path");
  }
  view.description = what;
}

// The termination message of a container that ended well; nothing if it is no report.
std::optional<PodReport> read_report(const std::string& message) {
  const Json status = Json::parse(message, nullptr, false);
  const Json& worker = child(status, "worker");
  const Json& aggregator = child(status, "aggregator");
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
    report.digest = text(worker, "parametersSha256");
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

void read_container(const Json& container, PodView& view) {
  const Json& state = child(container, "state");
  const Json& terminated = child(state, "terminated");
  if (terminated.is_object()) {
    const int code = integer<int>(terminated, "exitCode");
    const std::string message = text(terminated, "message");
    if (code == 0) {
      if (auto report = read_report(message)) view.report = std::move(report);
      return;
    }
    view.exit_code = code;
    view.container = text(container, "name");
    view.reason = text(terminated, "reason");
    if (!message.empty()) view.message = message;
    return;
  }
  const Json& waiting = child(state, "waiting");
  if (waiting.is_object() && view.reason.empty()) {
    view.reason = text(waiting, "reason");
    view.message = text(waiting, "message");
  }
}

}  // namespace

JobView view_job(const Json& object) {
  JobView view;
  const Json& metadata = child(object, "metadata");
  const Json& status = child(object, "status");
  view.kind = text(object, "kind");
  view.name = text(metadata, "name");
  view.name_space = text(metadata, "namespace");
  view.uid = text(metadata, "uid");
  view.federated = view.kind == "FederatedRound";
  if (std::string phase = text(status, "phase"); !phase.empty()) view.phase = std::move(phase);
  view.ready = text(status, "ready");
  view.restarts = integer<std::int64_t>(status, "restarts");
  view.disruptions = integer<std::int64_t>(status, "disruptions");
  view.started = parse_time(text(status, "startTime"));
  view.completed = parse_time(text(status, "completionTime"));
  view.history = curve_from_history(child(status, "history"));
  read_conditions(child(status, "conditions"), view);
  read_progress(child(status, "progress"), view);
  read_spec(child(object, "spec"), view);
  return view;
}

PodView view_pod(const Json& pod) {
  PodView view;
  const Json& metadata = child(pod, "metadata");
  const Json& labels = child(metadata, "labels");
  const Json& status = child(pod, "status");
  view.name = text(metadata, "name");
  view.name_space = text(metadata, "namespace");
  view.uid = text(metadata, "uid");
  view.job = text(labels, "muster.dev/job-name");
  view.role = text(labels, "muster.dev/role");
  view.index = integer<std::int64_t>(labels, "muster.dev/index");
  view.phase = text(status, "phase");
  view.reason = text(status, "reason");
  view.message = text(status, "message");
  for (const char* list : {"initContainerStatuses", "containerStatuses"}) {
    const Json& containers = child(status, list);
    if (!containers.is_array()) continue;
    for (const Json& container : containers) read_container(container, view);
  }
  if (view.phase == "Pending" && view.reason.empty() && child(status, "conditions").is_array()) {
    for (const Json& condition : child(status, "conditions")) {
      if (text(condition, "type") != "PodScheduled" || text(condition, "status") != "False") continue;
      view.reason = text(condition, "reason");
      view.message = text(condition, "message");
    }
  }
  return view;
}

}  // namespace muster::cli
