// device/shell/main.cc: muster-device: plays some clients of one FederatedRound
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "common/json/fields.h"
#include "common/platform/end_process.h"
#include "common/platform/log.h"
#include "common/platform/permitted_path.h"
#include "common/spec/federated_round.h"
#include "device/shell/client_program.h"
#include "device/shell/device_metrics.h"
#include "device/shell/fleet.h"
#include "device/shell/local_trainer.h"
#include "device/shell/model_offer.h"
#include "device/shell/state_files.h"
#include "learning/model.h"
#include "pod/pod_contract.h"
#include "pod/pod_life.h"
#include "pod/program_pod.h"

namespace muster::device {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPublishInterval{200};
constexpr milliseconds kReportTime{1'000};
constexpr std::chrono::seconds kProgramTime{600};  // from its connection to its model

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
  // `link`: of a federation of programs; outlives it.
  Run(PodFrame& frame, const Flags& flags, DeviceMetrics& metrics, program::ProgramLink* link)
      : frame_(frame), flags_(flags), metrics_(metrics), link_(link) {}

  Ending play(const control::v1::Assignment& assignment, const spec::Federation& federation) {
    return federation.training.program ? play_program(assignment, federation)
                                       : play_dataset(assignment, federation);
  }

 private:
  Ending play_dataset(const control::v1::Assignment& assignment, const spec::Federation& federation) {
    const control::v1::ClientAssignment& part = assignment.client();
    frame_.publish(control::v1::PHASE_STARTING, "loading the clients' data");
    const auto loaded = beside([&] {
      return LocalTrainer::load(federation, part.first_client(), part.clients(), flags_.parallel_clients);
    });
    if (!loaded) return stopped();
    const auto& trainer = *loaded;
    if (!trainer) return ending_of(trainer.error());
    if (const Status kept = keep_states(assignment, federation, **trainer); !kept)
      return ending_of(kept.error());
    const auto fleet =
        start(assignment, (*trainer)->parameter_count(), flags_.parallel_clients, (*trainer)->data_identity(),
              [&](int slot, std::int32_t client, const TaskTicket& task, std::span<const float> global,
                  const std::function<bool()>& cancelled) {
                return (*trainer)->train(slot, client, task, global, cancelled);
              });
    return watch(*fleet, {.states_lost = [&] { return (*trainer)->states_lost(); },
                          .ended_well = [&] { (*trainer)->forget_states(); }});
  }

  Ending play_program(const control::v1::Assignment& assignment, const spec::Federation& federation) {
    if (const Status here = require_program(link_); !here) return ending_of(here.error());
    const control::v1::ClientAssignment& part = assignment.client();
    ClientProgram program(*link_, federation);
    frame_.publish(control::v1::PHASE_STARTING, "waiting for the program's model");
    const auto met = beside(
        [&] { return program.meet(part.first_client(), part.clients(), deadline_after(kProgramTime)); });
    if (!met) return stopped();
    if (!*met) return ending_of(met->error());
    const Status offered =
        offer_model(part.aggregator(), frame_.credentials,
                    {.tensors = link_->model().tensors, .values = link_->parameters()},
                    deadline_after(std::chrono::seconds(flags_.aggregator_timeout_seconds)),
                    [this](milliseconds pause) { return frame_.stopper.wait(pause); });
    if (!offered && frame_.stopper.requested()) return stopped();
    if (!offered) return ending_of(offered.error());
    const auto fleet = start(assignment, program.parameter_count(), 1, "",
                             [&](int /*slot*/, std::int32_t client, const TaskTicket& task,
                                 std::span<const float> global, const std::function<bool()>& cancelled) {
                               return program.train(client, task, global, cancelled);
                             });
    return watch(*fleet, {.failure = [&] { return program.failure(); }});
  }

  std::unique_ptr<Fleet> start(const control::v1::Assignment& assignment, std::size_t parameters,
                               int parallel, std::string data_sha256, Trainer trainer) {
    const control::v1::ClientAssignment& part = assignment.client();
    spdlog::info("plays clients {} to {} of {} aggregator={}", part.first_client(),
                 part.first_client() + part.clients() - 1, assignment.name(), part.aggregator());
    return Fleet::start({.aggregator = part.aggregator(),
                         .credentials = frame_.credentials,
                         .first_client = part.first_client(),
                         .clients = part.clients(),
                         .parameter_count = parameters,
                         .data_sha256 = std::move(data_sha256),
                         .parallel_clients = parallel,
                         .aggregator_timeout = std::chrono::seconds(flags_.aggregator_timeout_seconds)},
                        std::move(trainer));
  }

  // What takes seconds, such as to load a large dataset; SIGTERM is heard meanwhile: then nothing.
  template <typename Work>
  auto beside(Work work) -> std::optional<decltype(work())> {
    auto working = std::async(std::launch::async, work);
    while (working.wait_for(milliseconds(0)) != std::future_status::ready)
      if (frame_.stopper.wait(milliseconds(50))) return std::nullopt;
    return working.get();
  }
  static Status keep_states(const control::v1::Assignment& assignment, const spec::Federation& federation,
                            LocalTrainer& trainer) {
    const std::string& path = federation.client_storage_path;
    if (path.empty()) return {};
    MUSTER_ASSIGN(const auto folder, permitted_storage(path, "spec.clients.storage.path",
                                                       {assignment.writable_mounts().begin(),
                                                        assignment.writable_mounts().end()}));
    MUSTER_ASSIGN(auto states, StateFiles::open(folder, assignment.uid(), trainer.state_size()));
    trainer.keep_states_in(std::move(states));
    return {};
  }

  struct Training {  // what is asked of it while the fleet works
    std::function<std::int64_t()> states_lost = [] { return std::int64_t{0}; };
    std::function<void()> ended_well = [] {};
    std::function<Status()> failure = [] { return Status(); };  // it cannot go on
  };

  void show(const Fleet& fleet, const Training& training) {
    *frame_.status.mutable_client() = fleet.progress();
    const std::int64_t lost = training.states_lost();
    frame_.status.mutable_client()->set_states_lost(lost);
    if (lost > 0 && frame_.status.warnings_size() == 0)
      frame_.status.add_warnings(
          "clients of this pod have lost what they keep between rounds, and began anew, which the others "
          "have to "
          "make up for; give spec.clients.storage a volume that follows the pod");
    metrics_.set(frame_.status.client());
  }

  Ending watch(Fleet& fleet, const Training& training) {
    while (true) {
      show(fleet, training);
      frame_.publish(control::v1::PHASE_RUNNING, "");
      if (frame_.stopper.wait(kPublishInterval)) return stopped();
      const auto done = fleet.wait(milliseconds(0));
      show(fleet, training);
      if (done && !done->failed) training.ended_well();
      if (done) return {0, done->failed ? "the federation failed: " + done->reason : done->reason};
      if (done.error().code == Code::kInvalidArgument) return ending_of(done.error());
      if (const Status failed = training.failure(); !failed) {
        static_cast<void>(frame_.stopper.wait(kReportTime));  // for the aggregator to hear of this client's
        return ending_of(failed.error());
      }
      // Lost, or its address is another federation's by now: a new pod is given the present one.
      if (done.error().code != Code::kDeadlineExceeded) return {kExitRetry, done.error().message};
    }
  }

  static Ending stopped() { return {kExitStopped, "the clients were told to stop"}; }

  PodFrame& frame_;
  const Flags& flags_;
  DeviceMetrics& metrics_;
  program::ProgramLink* const link_;
};

int run(const Flags& flags) {
  DeviceMetrics metrics;
  std::unique_ptr<program::ProgramLink> link;
  return run_pod<spec::Federation>(
      {.name = "device",
       .configure_timeout = std::chrono::seconds(flags.configure_timeout_seconds),
       .registry = metrics.registry(),
       .prepare = [&link](const PodEnvironment&,
                          Stopper& stopper) { return await_program(link, 0, stopper); },
       .linger = [&link](const auto& ending,
                         const auto& after) { linger_with_program(link, ending, after); }},
      federation_of,
      [&](PodFrame& frame, const control::v1::Assignment& assignment, const spec::Federation& federation) {
        learning::set_compute_threads(flags.compute_threads);
        return Run(frame, flags, metrics, link.get()).play(assignment, federation);
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
