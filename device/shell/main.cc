// device/shell/main.cc: muster-device: plays some clients of one FederatedRound
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "common/json/fields.h"
#include "common/platform/log.h"
#include "common/platform/metrics.h"
#include "common/platform/pod.h"
#include "common/platform/signals.h"
#include "device/shell/device_metrics.h"
#include "device/shell/fleet.h"
#include "device/shell/local_trainer.h"
#include "learning/task.h"
#include "proto/agent/agent_server.h"

namespace muster::device {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPublishInterval{200};
constexpr milliseconds kStopTime{1'500};  // for a batch to end after SIGTERM
constexpr int kExitStopped = 143;         // as if SIGTERM had ended us

struct Flags {
  std::int64_t configure_timeout_seconds = 600;
  std::int64_t aggregator_timeout_seconds = 600;
  int parallel_clients = 1;
  int compute_threads = 1;
};

struct Ending {
  int exit_code = 0;
  std::string message;
};

Ending ending(const Error& error) {
  switch (error.code) {
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kDataLoss:
    case Code::kFailedPrecondition:
    case Code::kPermissionDenied: return {kExitInvalid, error.message};
    default: return {kExitRetry, error.message};
  }
}

Result<spec::Federation> federation_of(const control::v1::Assignment& assignment) {
  if (!assignment.has_client())
    return invalid_argument("this pod plays clients, the assignment is of another role");
  if (assignment.client().aggregator().empty())
    return invalid_argument("client.aggregator: no address was given");
  MUSTER_ASSIGN(const Json json, parse_json(assignment.client().federation(), "the federation"));
  return spec::federation_from_json(json);
}

// After SIGTERM the process ends in time, whatever a computation under way does.
void end_in_time(int exit_code) {
  std::thread([exit_code] {
    std::this_thread::sleep_for(kStopTime);
    std::_Exit(exit_code);
  }).detach();
}

class Run {
 public:
  Run(const PodEnvironment& pod, AgentServer& agent, SignalWaiter& signals, const Flags& flags,
      DeviceMetrics& metrics, control::v1::AgentStatus& status)
      : pod_(pod), agent_(agent), signals_(signals), flags_(flags), metrics_(metrics), status_(status) {}

  Ending play(const control::v1::Assignment& assignment) {
    const control::v1::ClientAssignment& part = assignment.client();
    status_.set_generation(assignment.generation());
    publish(control::v1::PHASE_STARTING, "loading the clients' data");
    const auto federation = federation_of(assignment);
    if (!federation) return {kExitInvalid, federation.error().message};
    // Loading a large dataset takes seconds: SIGTERM is heard meanwhile.
    auto loading = std::async(std::launch::async, [&] {
      return LocalTrainer::load(*federation, part.first_client(), part.clients(), flags_.parallel_clients);
    });
    while (loading.wait_for(milliseconds(0)) != std::future_status::ready) {
      if (signals_.wait(milliseconds(50))) return stopped();
    }
    auto trainer = loading.get();
    if (!trainer) return ending(trainer.error());
    spdlog::info("plays clients {} to {} of {} aggregator={}", part.first_client(),
                 part.first_client() + part.clients() - 1, assignment.name(), part.aggregator());
    const auto fleet =
        Fleet::start({.aggregator = part.aggregator(),
                      .federation_uid = assignment.uid(),
                      .first_client = part.first_client(),
                      .clients = part.clients(),
                      .parameter_count = (*trainer)->parameter_count(),
                      .parallel_clients = flags_.parallel_clients,
                      .aggregator_timeout = std::chrono::seconds(flags_.aggregator_timeout_seconds)},
                     [&](int slot, std::int32_t client, std::int64_t round, std::span<const float> global,
                         const std::function<bool()>& cancelled) {
                       return (*trainer)->train(slot, client, round, global, cancelled);
                     });
    return watch(*fleet);
  }

 private:
  Ending watch(Fleet& fleet) {
    while (true) {
      *status_.mutable_client() = fleet.progress();
      metrics_.set(status_.client());
      publish(control::v1::PHASE_RUNNING, "");
      if (signals_.wait(kPublishInterval)) return stopped();
      const auto done = fleet.wait(milliseconds(0));
      *status_.mutable_client() = fleet.progress();
      if (done) return {0, *done};
      if (done.error().code != Code::kDeadlineExceeded) return {kExitRetry, done.error().message};
    }
  }

  static Ending stopped() {
    end_in_time(kExitStopped);
    return {kExitStopped, "the clients were told to stop"};
  }

  void publish(control::v1::Phase phase, const std::string& message) {
    status_.set_phase(phase);
    status_.set_message(message);
    agent_.publish(status_);
  }

  const PodEnvironment& pod_;
  AgentServer& agent_;
  SignalWaiter& signals_;
  const Flags& flags_;
  DeviceMetrics& metrics_;
  control::v1::AgentStatus& status_;
};

Result<control::v1::Assignment> wait_for_assignment(AgentServer& agent, SignalWaiter& signals,
                                                    milliseconds timeout) {
  const Deadline deadline = deadline_after(timeout);
  while (true) {
    const auto assignment = agent.wait_for_assignment(deadline_after(milliseconds(0)));
    if (assignment || assignment.error().code != Code::kDeadlineExceeded) return assignment;
    if (std::chrono::steady_clock::now() >= deadline) return assignment;
    if (signals.wait(milliseconds(50)))
      return aborted("the clients were told to stop before their assignment came");
  }
}

void write_last_words(const PodEnvironment& pod, const control::v1::AgentStatus& status, const Ending& end) {
  if (end.exit_code != 0) return write_termination_message(pod, end.message);
  std::string json;
  if (google::protobuf::util::MessageToJsonString(status, &json).ok()) write_termination_message(pod, json);
}

int run(const Flags& flags) {
  SignalWaiter signals;
  init_log("device");
  auto pod = pod_environment();
  if (!pod) {
    spdlog::error("{}", pod.error().message);
    return kExitInvalid;
  }
  const auto stop_with = [&](const Ending& end) {
    spdlog::error("{}", end.message);
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
  DeviceMetrics metrics;
  std::atomic<bool> assigned = false;
  auto scrape = MetricsServer::start(
      metrics.registry(), {.ip = pod->ip, .port = kMetricsPort, .ready = [&assigned]() -> Status {
                             return assigned ? Status() : Status(unavailable("no assignment has come yet"));
                           }});
  if (!scrape) return stop_with({kExitRetry, scrape.error().message});

  const auto assignment =
      wait_for_assignment(**agent, signals, std::chrono::seconds(flags.configure_timeout_seconds));
  if (!assignment) return stop_with(ending(assignment.error()));
  assigned = true;
  learning::set_compute_threads(flags.compute_threads);
  control::v1::AgentStatus status;
  const Ending end = Run(*pod, **agent, signals, flags, metrics, status).play(*assignment);
  if (end.exit_code == 0) {
    spdlog::info("{}", end.message);
  } else {
    spdlog::error("{}", end.message);
  }
  metrics.set(status.client());
  status.set_phase(end.exit_code == 0 ? control::v1::PHASE_SUCCEEDED : control::v1::PHASE_FAILED);
  status.set_message(end.message);
  write_last_words(*pod, status, end);
  if (end.exit_code != kExitStopped) (*agent)->publish(status);
  (*agent)->stop();
  return end.exit_code;
}

}  // namespace
}  // namespace muster::device

int main(int argc, char** argv) {
  CLI::App app("muster-device plays clients of one FederatedRound. The operator starts and configures it.");
  muster::device::Flags flags;
  app.add_option("--configure-timeout", flags.configure_timeout_seconds,
                 "Seconds to wait for the operator's assignment")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  app.add_option("--aggregator-timeout", flags.aggregator_timeout_seconds,
                 "Seconds that the aggregator may be away before the clients give up")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  app.add_option("--parallel-clients", flags.parallel_clients, "Clients that train at once")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--compute-threads", flags.compute_threads, "Threads of one training step")
      ->envname("MUSTER_COMPUTE_THREADS")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.set_version_flag("--version", MUSTER_VERSION);
  CLI11_PARSE(app, argc, argv);
  return muster::device::run(flags);
}
