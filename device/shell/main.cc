// device/shell/main.cc: muster-device: plays some clients of one FederatedRound
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <future>
#include <memory>
#include <string>

#include "common/json/fields.h"
#include "common/platform/end_process.h"
#include "common/platform/log.h"
#include "common/platform/permitted_path.h"
#include "common/spec/federated_round.h"
#include "device/shell/device_metrics.h"
#include "device/shell/fleet.h"
#include "device/shell/local_trainer.h"
#include "device/shell/state_files.h"
#include "learning/task.h"
#include "pod/pod_contract.h"
#include "pod/pod_life.h"

namespace muster::device {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPublishInterval{200};

struct Flags {
  std::int64_t configure_timeout_seconds = 600;
  std::int64_t aggregator_timeout_seconds = 600;
  int parallel_clients = 1;
  int compute_threads = 1;
};

Result<spec::Federation> federation_of(const control::v1::Assignment& assignment) {
  if (!assignment.has_client())
    return invalid_argument("this pod plays clients, the assignment is of another role");
  if (assignment.client().aggregator().empty())
    return invalid_argument("client.aggregator: no address was given");
  MUSTER_ASSIGN(const Json json, parse_json(assignment.spec(), "spec"));
  MUSTER_ASSIGN(spec::FederatedRoundSpec spec, spec::federated_round_from_json(json));
  return std::move(spec.federation);
}

class Run {
 public:
  Run(PodFrame& frame, const Flags& flags, DeviceMetrics& metrics)
      : frame_(frame), flags_(flags), metrics_(metrics) {}

  Ending play(const control::v1::Assignment& assignment, const spec::Federation& federation) {
    const control::v1::ClientAssignment& part = assignment.client();
    frame_.publish(control::v1::PHASE_STARTING, "loading the clients' data");
    // Loading a large dataset takes seconds: SIGTERM is heard meanwhile.
    auto loading = std::async(std::launch::async, [&] {
      return LocalTrainer::load(federation, part.first_client(), part.clients(), flags_.parallel_clients);
    });
    while (loading.wait_for(milliseconds(0)) != std::future_status::ready) {
      if (frame_.stopper.wait(milliseconds(50))) return stopped();
    }
    auto trainer = loading.get();
    if (!trainer) return ending_of(trainer.error());
    if (const Status kept = keep_states(assignment, federation, **trainer); !kept)
      return ending_of(kept.error());
    spdlog::info("plays clients {} to {} of {} aggregator={}", part.first_client(),
                 part.first_client() + part.clients() - 1, assignment.name(), part.aggregator());
    const auto fleet =
        Fleet::start({.aggregator = part.aggregator(),
                      .credentials = frame_.credentials,
                      .first_client = part.first_client(),
                      .clients = part.clients(),
                      .parameter_count = (*trainer)->parameter_count(),
                      .data_sha256 = (*trainer)->data_identity(),
                      .parallel_clients = flags_.parallel_clients,
                      .aggregator_timeout = std::chrono::seconds(flags_.aggregator_timeout_seconds)},
                     [&](int slot, std::int32_t client, const TaskTicket& task, std::span<const float> global,
                         const std::function<bool()>& cancelled) {
                       return (*trainer)->train(slot, client, task, global, cancelled);
                     });
    return watch(*fleet, **trainer);
  }

 private:
  static Status keep_states(const control::v1::Assignment& assignment, const spec::Federation& federation,
                            LocalTrainer& trainer) {
    const std::string& path = federation.client_storage_path;
    if (path.empty()) return {};
    MUSTER_ASSIGN(const auto folder, permitted_storage(path, "spec.clients.storage.path",
                                                       {assignment.writable_mounts().begin(),
                                                        assignment.writable_mounts().end()}));
    MUSTER_ASSIGN(auto states, StateFiles::open(folder, assignment.uid(), trainer.parameter_count()));
    trainer.keep_states_in(std::move(states));
    return {};
  }

  void show(const Fleet& fleet, const LocalTrainer& trainer) {
    *frame_.status.mutable_client() = fleet.progress();
    frame_.status.mutable_client()->set_states_lost(trainer.states_lost());
    if (trainer.states_lost() > 0 && frame_.status.warnings_size() == 0)
      frame_.status.add_warnings(
          "clients of this pod have lost what they keep between rounds, and began anew, which the others "
          "have to "
          "make up for; give spec.clients.storage a volume that follows the pod");
    metrics_.set(frame_.status.client());
  }

  Ending watch(Fleet& fleet, LocalTrainer& trainer) {
    while (true) {
      show(fleet, trainer);
      frame_.publish(control::v1::PHASE_RUNNING, "");
      if (frame_.stopper.wait(kPublishInterval)) return stopped();
      const auto done = fleet.wait(milliseconds(0));
      show(fleet, trainer);
      if (done && !done->failed) trainer.forget_states();
      if (done) return {0, done->failed ? "the federation failed: " + done->reason : done->reason};
      if (done.error().code == Code::kInvalidArgument) return ending_of(done.error());
      // Lost, or its address is another federation's by now: a new pod is given the present one.
      if (done.error().code != Code::kDeadlineExceeded) return {kExitRetry, done.error().message};
    }
  }

  static Ending stopped() { return {kExitStopped, "the clients were told to stop"}; }

  PodFrame& frame_;
  const Flags& flags_;
  DeviceMetrics& metrics_;
};

int run(const Flags& flags) {
  DeviceMetrics metrics;
  return run_pod<spec::Federation>(
      {.name = "device",
       .configure_timeout = std::chrono::seconds(flags.configure_timeout_seconds),
       .registry = metrics.registry(),
       .prepare = {}},
      federation_of,
      [&](PodFrame& frame, const control::v1::Assignment& assignment, const spec::Federation& federation) {
        learning::set_compute_threads(flags.compute_threads);
        return Run(frame, flags, metrics).play(assignment, federation);
      });
}

}  // namespace
}  // namespace muster::device

int main(int argc, char** argv) try {
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    muster::end_process(app.exit(error) == 0 ? 0 : muster::kExitInvalid);
  }
  muster::end_process(muster::device::run(flags));
} catch (const std::exception& error) {
  std::fprintf(stderr, "muster-device: %s\n", error.what());
  muster::end_process(1);  // as any failure without a code of its own: the pod is tried again
}
