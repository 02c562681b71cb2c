// aggregator/shell/main.cc: muster-aggregator: waits for its assignment, runs the rounds, leaves the model
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "aggregator/shell/coordinator.h"
#include "aggregator/shell/federation_service.h"
#include "common/json/fields.h"
#include "common/platform/log.h"
#include "common/platform/metrics.h"
#include "common/platform/pod.h"
#include "common/platform/signals.h"
#include "learning/dataset.h"
#include "learning/task.h"
#include "proto/agent/agent_server.h"

namespace muster::agg {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPublishInterval{200};
constexpr milliseconds kDismissTime{3'000};
constexpr int kExitStopped = 143;  // as if SIGTERM had ended us

struct Ending {
  int exit_code = 0;
  std::string message;
};

Ending ending(const Error& error) {
  switch (error.code) {
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kDataLoss:
    case Code::kFailedPrecondition: return {kExitInvalid, error.message};
    case Code::kResourceExhausted:
    case Code::kPermissionDenied: return {kExitStorage, error.message};
    default: return {kExitRetry, error.message};
  }
}

Result<spec::Federation> federation_of(const control::v1::Assignment& assignment) {
  if (!assignment.has_aggregator()) {
    return invalid_argument("this pod is an aggregator, the assignment is of another role");
  }
  MUSTER_ASSIGN(const Json json, parse_json(assignment.aggregator().federation(), "the federation"));
  MUSTER_ASSIGN(spec::Federation federation, spec::federation_from_json(json));
  MUSTER_TRY(make_strategy(federation.strategy, 1));
  return federation;
}

// One aggregator from its assignment to its end.
class Run {
 public:
  Run(const PodEnvironment& pod, AgentServer& agent, SignalWaiter& signals, AggregatorMetrics& metrics)
      : pod_(pod), agent_(agent), signals_(signals), metrics_(metrics) {}

  Ending play(const control::v1::Assignment& assignment) {
    status_.set_generation(assignment.generation());
    publish(control::v1::PHASE_STARTING, "loading the test data");
    auto federation = federation_of(assignment);
    if (!federation) return {kExitInvalid, federation.error().message};
    auto dataset = load(*federation);
    if (!dataset) return ending(dataset.error());
    auto task = learning::make_task(federation->training.model, (*dataset).test);
    if (!task) return ending(task.error());
    RoundStore store(*federation, (*task)->tensors());
    auto start = resume(*federation, store, **task);
    if (!start) return ending(start.error());
    return serve(*federation, assignment.uid(), **task, dataset->test, store, std::move(*start));
  }

  control::v1::AgentStatus& status() { return status_; }

 private:
  static Result<learning::Dataset> load(const spec::Federation& federation) {
    spec::Dataset from = federation.training.dataset;
    if (!from.path.empty()) from.path = resolve_mount(from.path).string();
    MUSTER_ASSIGN(learning::Dataset dataset,
                  learning::load_dataset(from, static_cast<std::uint64_t>(federation.training.seed)));
    dataset.train = {};  // the clients' business; an aggregator sees the test set alone
    return dataset;
  }

  static Result<CommittedRound> resume(const spec::Federation& federation, const RoundStore& store,
                                       const learning::Task& task) {
    std::vector<std::string> notes;
    MUSTER_ASSIGN(auto committed, store.load(notes));
    for (const std::string& note : notes) spdlog::warn("{}", note);
    if (committed) {
      spdlog::info("resumed from round {} round={}", committed->round, committed->round);
      return std::move(*committed);
    }
    CommittedRound fresh;
    fresh.parameters = task.initial_parameters(static_cast<std::uint64_t>(federation.training.seed));
    return fresh;
  }

  Ending serve(const spec::Federation& federation, const std::string& uid, learning::Task& task,
               const learning::Examples& test, RoundStore& store, CommittedRound start) {
    CoordinatorPorts ports;
    ports.evaluate = [&](std::span<const float> parameters) { return task.evaluate(parameters, test); };
    ports.save = [&](const CommittedRound& round) { return store.commit(round); };
    CoordinatorOptions options;
    options.federation = federation;
    options.run = fmt::format("{:08x}", std::random_device{}());
    Coordinator coordinator(std::move(options), std::move(ports), std::move(start), metrics_);
    auto server =
        FederationServer::start({.ip = pod_.ip, .port = kDataPort, .federation_uid = uid}, coordinator);
    if (!server) return {kExitRetry, server.error().message};
    publish(control::v1::PHASE_RUNNING, "");

    std::optional<Outcome> outcome;
    while (!outcome) {
      if (signals_.wait(kPublishInterval)) return {kExitStopped, "the aggregator was told to stop"};
      *status_.mutable_aggregator() = coordinator.progress();
      publish(control::v1::PHASE_RUNNING, "");
      outcome = coordinator.wait_outcome(milliseconds(0));
    }
    *status_.mutable_aggregator() = coordinator.progress();
    Ending end{outcome->exit_code, outcome->message};
    if (end.exit_code == 0) {
      if (const Status kept = store.finish(coordinator.committed()); !kept)
        end = {kExitStorage, kept.error().message};
    }
    coordinator.wait_dismissed(kDismissTime);
    return end;
  }

  void publish(control::v1::Phase phase, const std::string& message) {
    status_.set_phase(phase);
    status_.set_message(message);
    agent_.publish(status_);
  }

  const PodEnvironment& pod_;
  AgentServer& agent_;
  SignalWaiter& signals_;
  AggregatorMetrics& metrics_;
  control::v1::AgentStatus status_;
};

void write_last_words(const PodEnvironment& pod, control::v1::AgentStatus status, const Ending& end) {
  if (end.exit_code != 0) return write_termination_message(pod, end.message);
  status.mutable_aggregator()->clear_history();
  std::string json;
  if (google::protobuf::util::MessageToJsonString(status, &json).ok()) write_termination_message(pod, json);
}

Result<control::v1::Assignment> wait_for_assignment(AgentServer& agent, SignalWaiter& signals,
                                                    milliseconds timeout) {
  const Deadline deadline = deadline_after(timeout);
  while (true) {
    const auto assignment = agent.wait_for_assignment(std::min(deadline, deadline_after(milliseconds(0))));
    if (assignment || assignment.error().code != Code::kDeadlineExceeded) return assignment;
    if (std::chrono::steady_clock::now() >= deadline) return assignment;
    if (signals.wait(milliseconds(50)))
      return aborted("the aggregator was told to stop before its assignment came");
  }
}

int run(std::int64_t configure_timeout_seconds) {
  SignalWaiter signals;
  init_log("aggregator");
  auto pod = pod_environment();
  if (!pod) {
    spdlog::error("{}", pod.error().message);
    return kExitInvalid;
  }
  AggregatorMetrics metrics;
  const auto stop_with = [&](const Ending& end) {
    if (end.exit_code != 0) spdlog::error("{}", end.message);
    write_termination_message(*pod, end.message);
    return end.exit_code;
  };
  auto agent = AgentServer::start({.ip = pod->ip,
                                   .port = kControlPort,
                                   .job_uid = pod->job_uid,
                                   .accept = [](const control::v1::Assignment& assignment) -> Status {
                                     MUSTER_TRY(federation_of(assignment));
                                     return {};
                                   }});
  if (!agent) return stop_with({kExitRetry, agent.error().message});
  std::atomic<bool> assigned = false;
  auto scrape = MetricsServer::start(
      metrics.registry(),
      {.ip = pod->ip, .port = kMetricsPort, .ready = [&assigned]() -> Status {
         return assigned ? Status() : Status(unavailable("no assignment has come from the operator yet"));
       }});
  if (!scrape) return stop_with({kExitRetry, scrape.error().message});

  const auto assignment =
      wait_for_assignment(**agent, signals, std::chrono::seconds(configure_timeout_seconds));
  if (!assignment) return stop_with(ending(assignment.error()));
  assigned = true;
  learning::set_compute_threads(1);  // evaluation runs beside the clients' calls
  Run federation(*pod, **agent, signals, metrics);
  const Ending end = federation.play(*assignment);
  control::v1::AgentStatus& status = federation.status();
  status.set_phase(end.exit_code == 0 ? control::v1::PHASE_SUCCEEDED : control::v1::PHASE_FAILED);
  status.set_message(end.message);
  if (end.exit_code == 0) {
    spdlog::info("{}", end.message);
  } else {
    spdlog::error("{}", end.message);
  }
  write_last_words(*pod, status, end);
  if (end.exit_code != kExitStopped) (*agent)->publish(status);
  (*agent)->stop();
  return end.exit_code;
}

}  // namespace
}  // namespace muster::agg

int main(int argc, char** argv) {
  CLI::App app(
      "muster-aggregator runs the rounds of one FederatedRound. The operator starts and configures it.");
  std::int64_t configure_timeout = 600;
  app.add_option("--configure-timeout", configure_timeout, "Seconds to wait for the operator's assignment")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  app.set_version_flag("--version", MUSTER_VERSION);
  CLI11_PARSE(app, argc, argv);
  return muster::agg::run(configure_timeout);
}
