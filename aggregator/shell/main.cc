// aggregator/shell/main.cc: muster-aggregator: waits for its assignment, runs the rounds, leaves the model
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "aggregator/shell/client_examples.h"
#include "aggregator/shell/contribution_report.h"
#include "aggregator/shell/coordinator.h"
#include "aggregator/shell/device_report.h"
#include "aggregator/shell/federation_service.h"
#include "aggregator/shell/model_before.h"
#include "aggregator/shell/resume_from_journal.h"
#include "aggregator/store/mapped_shelf.h"
#include "common/base/check.h"
#include "common/base/random.h"
#include "common/json/fields.h"
#include "common/platform/end_process.h"
#include "common/platform/log.h"
#include "common/platform/mutex.h"
#include "common/platform/permitted_path.h"
#include "common/platform/pod_memory.h"
#include "common/platform/resident_memory.h"
#include "common/program/program_link.h"
#include "common/spec/federated_round.h"
#include "learning/data_identity.h"
#include "learning/dataset.h"
#include "learning/doubts.h"
#include "learning/held_out.h"
#include "learning/model.h"
#include "learning/stream.h"
#include "pod/pod_contract.h"
#include "pod/pod_life.h"

namespace muster::agg {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPublishInterval{200};
constexpr milliseconds kDismissTime{3'000};
constexpr std::uint64_t kScoringStream = 0x73636f7265;  // of the seed, for what is set aside
constexpr std::uint64_t kModelsInMemory = 6;            // of a program's: two models, two states, two updates

Result<spec::Federation> federation_of(const control::v1::Assignment& assignment) {
  if (!assignment.has_aggregator()) {
    return invalid_argument("this pod is an aggregator, the assignment is of another role");
  }
  MUSTER_ASSIGN(const Json json, parse_json(assignment.spec(), "spec"));
  MUSTER_ASSIGN(spec::FederatedRoundSpec spec, spec::federated_round_from_json(json));
  return std::move(spec.federation);
}

// One aggregator from its assignment to its end.
class Run {
 public:
  Run(PodFrame& frame, AggregatorMetrics& metrics) : frame_(frame), metrics_(metrics) {}

  Ending play(const control::v1::Assignment& assignment, spec::Federation federation) {
    if (const Status storage = permit_storage(assignment, federation); !storage)
      return ending_of(storage.error());
    return federation.training.program ? play_programs(assignment, std::move(federation))
                                       : play_dataset(assignment, std::move(federation));
  }

 private:
  // The model is built in, and tested here.
  Ending play_dataset(const control::v1::Assignment& assignment, spec::Federation federation) {
    frame_.publish(control::v1::PHASE_STARTING, "loading the test data");
    auto dataset = load(federation);
    if (!dataset) return ending_of(dataset.error());
    const auto examples = examples_of_clients(federation, *dataset);
    if (!examples) return ending_of(examples.error());
    spdlog::info("data loaded test={} classes={} sha256={:.16}", dataset->test.size(),
                 dataset->test.class_count, dataset->digest);
    for (const std::string& note : dataset->notes) spdlog::info("{}", note);
    for (const std::string& warning : dataset->warnings) warn(warning);
    dataset->train = {};  // the clients' business; an aggregator sees the test set alone
    const auto seed = static_cast<std::uint64_t>(federation.training.seed);
    const learning::Examples scoring = set_aside(federation.strategy, seed, dataset->test);
    auto task = learning::make_model(federation.training.model, (*dataset).test);
    if (!task) return ending_of(task.error());
    RoundStore store(federation, (*task)->tensors(), assignment.uid(),
                     {.digest = dataset->digest, .class_names = dataset->class_names});
    learning::Examples shifted;  // the test data, once devices' labels are
    std::int64_t shifts_at = std::numeric_limits<std::int64_t>::max();
    if (const auto& stream = federation.stream; stream && stream->label_shift) {
      shifted = dataset->test;
      shifts_at = stream->label_shift->round;
      learning::shift_labels(*stream, shifts_at, shifted);
    }
    Mutex one_model;  // rounds are scored on another thread than evaluated
    CoordinatorPorts ports;
    ports.evaluate = [&](std::span<const float> parameters, std::int64_t round) {
      const MutexLock lock(one_model);
      return (*task)->evaluate(parameters, round < shifts_at ? dataset->test : shifted);
    };
    HeldOutLoss held_out_loss;
    if (scoring.size() > 0)
      held_out_loss = [&](std::span<const float> parameters) {
        const MutexLock lock(one_model);
        return (*task)->evaluate(parameters, scoring).loss;
      };
    CoordinatorOptions options;
    options.federation = std::move(federation);
    options.examples_max = examples->trained;
    options.held_out_max = examples->held_out;
    return serve(std::move(options), std::move(ports), store,
                 [&] { return (*task)->initial_parameters(seed); },
                 {.uid = assignment.uid(),
                  .data_sha256 = dataset->digest,
                  .classes = dataset->test.class_count,
                  .server = nullptr,
                  .held_out_loss = std::move(held_out_loss)});
  }

  // What updates are scored on; the rest of the test data, on which nothing is chosen, says how good a model
  // is.
  static learning::Examples set_aside(const spec::Strategy& strategy, std::uint64_t seed,
                                      learning::Examples& test) {
    if (!spec::needs_of(strategy).held_out || test.size() < 2) return {};
    std::vector<std::int64_t> rows(static_cast<std::size_t>(test.size()));
    std::iota(rows.begin(), rows.end(), 0);
    const learning::Split split =
        learning::split_rows(std::move(rows), strategy.held_out_fraction, hash_key(seed, kScoringStream));
    learning::Examples scoring = learning::rows_of(test, split.held_out);
    test = learning::rows_of(test, split.rest);
    return scoring;
  }

  // The model is that of the first client that comes, whose program has the data, too.
  Ending play_programs(const control::v1::Assignment& assignment, spec::Federation federation) {
    ModelIntake intake(memory_of_this_pod() / kModelsInMemory, model_before(federation, assignment.uid()));
    auto server = FederationServer::start(server_options(), intake, metrics_, federation.clients_per_pod);
    if (!server) return {kExitRetry, server.error().message};
    frame_.publish(control::v1::PHASE_STARTING, "waiting for the model of the first client");
    std::optional<OfferedModel> model;
    // For as long as the operator lets it: pods that cannot start yet are its to judge.
    while (!model) {
      model = intake.wait(kPublishInterval);
      if (frame_.stopper.requested()) return {kExitStopped, "the aggregator was told to stop"};
    }
    std::vector<learning::Tensor> tensors;
    std::int64_t offset = 0;
    for (const program::TensorShape& tensor : model->tensors) {
      const std::int64_t size = program::elements_of(tensor);
      tensors.push_back({.name = tensor.name, .shape = tensor.shape, .offset = offset, .size = size});
      offset += size;
    }
    RoundStore store(federation, tensors, assignment.uid(),
                     {.digest = digest_of(model->tensors), .class_names = {}});
    CoordinatorOptions options;
    options.federation = std::move(federation);
    return serve(std::move(options), {}, store,
                 [values = std::move(model->values)]() mutable { return std::exchange(values, {}); },
                 {.uid = assignment.uid(), .data_sha256 = {}, .classes = 0, .server = std::move(*server)});
  }

  static Status permit_storage(const control::v1::Assignment& assignment, spec::Federation& federation) {
    std::string& path = federation.storage_path;
    if (path.empty()) return {};
    MUSTER_ASSIGN(
        path, permitted_storage(path, "spec.aggregator.storage.path",
                                {assignment.writable_mounts().begin(), assignment.writable_mounts().end()}));
    return {};
  }

  static Result<learning::Dataset> load(const spec::Federation& federation) {
    spec::Dataset from = federation.training.dataset;
    if (!from.path.empty()) {
      MUSTER_ASSIGN(from.path, permitted_dataset(from.path, "spec.training.dataset.path"));
    }
    MUSTER_ASSIGN(learning::Dataset dataset,
                  learning::load_dataset(from, static_cast<std::uint64_t>(federation.training.seed)));
    return dataset;
  }

  static Result<CommittedRound> resume(const RoundStore& store,
                                       const std::function<std::vector<float>()>& initial) {
    std::vector<std::string> notes;
    MUSTER_ASSIGN(auto committed, store.load(notes));
    for (const std::string& note : notes) spdlog::warn("{}", note);
    if (committed) {
      spdlog::info("resumed from round {}{} round={}", committed->round,
                   committed->finished ? ", which was the last one" : "", committed->round);
      return std::move(*committed);
    }
    CommittedRound fresh;
    fresh.parameters = initial();
    return fresh;
  }

  // With what it remembered when `start` was committed. A federation that has ended needs it no more.
  static Result<std::unique_ptr<Strategy>> strategy_of(const spec::Federation& federation,
                                                       HeldOutLoss held_out_loss, CommittedRound& start) {
    const std::size_t parameters = start.parameters.size();
    std::unique_ptr<UpdateShelf> shelf;
    if (spec::needs_of(federation.strategy).every_update && !federation.storage_path.empty())
      shelf = std::make_unique<MappedShelf>(federation.storage_path, parameters,
                                            static_cast<std::size_t>(federation.cohort.size));
    MUSTER_ASSIGN(auto strategy, make_strategy(federation.strategy, parameters, std::move(shelf),
                                               {.clients = federation.clients,
                                                .learning_rate = federation.training.optimizer.learning_rate,
                                                .held_out_loss = std::move(held_out_loss)}));
    if (start.round > 0 && !start.finished) MUSTER_TRY(strategy->restore(std::move(start.state)));
    return strategy;
  }

  // What an earlier process had acknowledged: its closed rounds are made again, the one under way goes on.
  Result<Journaled> open_journal(const spec::Federation& federation, const std::string& uid,
                                 const CoordinatorPorts& ports, Strategy& strategy, CommittedRound& start) {
    MUSTER_ASSIGN(
        Journaled journaled,
        resume_from_journal(federation, uid, {.evaluate = ports.evaluate, .save = ports.save, .enough = {}},
                            strategy, start));
    for (const std::string& note : journaled.recovered.notes) warn(note);
    if (const std::size_t updates = journaled.updates; updates > 0) {
      metrics_.count_recovered(updates);
      spdlog::info("{} updates of an earlier process count, {} of them in round {}, which goes on round={}",
                   updates, journaled.recovered.tail.size(), start.round + 1, start.round);
    }
    return journaled;
  }

  [[nodiscard]] FederationServer::Options server_options() const {
    return {.ip = frame_.pod.ip, .port = kDataPort, .credentials = frame_.credentials};
  }

  struct Whose {
    std::string uid;                           // of the object
    std::string data_sha256;                   // empty: the clients' programs have the data
    std::int64_t classes = 0;                  // 0: nobody knows
    std::unique_ptr<FederationServer> server;  // that has taken the model; null: one is started
    HeldOutLoss held_out_loss = {};
  };
  Ending serve(CoordinatorOptions options, CoordinatorPorts ports, RoundStore& store,
               std::function<std::vector<float>()> initial, Whose whose) {
    auto start = resume(store, initial);
    initial = nullptr;  // a model in it, which is not the one of the rounds before, takes no memory from here
    if (!start) return storage_ending_of(start.error());
    ContributionReport contributions(options.federation.storage_path,
                                     static_cast<std::size_t>(options.federation.clients), metrics_);
    std::vector<learning::SlotView> known;  // of an earlier process, which may have ended before it told
    for (const auto& slot : start->state) known.push_back({slot.name, slot.values});
    if (const Status told = contributions.update(known, start->round); !told)
      return storage_ending_of(told.error());
    DeviceReport devices(options.federation.storage_path, metrics_);
    if (const Status told = devices.update(start->devices); !told) return storage_ending_of(told.error());
    auto strategy = strategy_of(options.federation, std::move(whose.held_out_loss), *start);
    if (!strategy) return storage_ending_of(strategy.error());
    ports.save = [&](const RoundView& round) -> Status {
      MUSTER_TRY(store.commit(round));
      MUSTER_TRY(devices.update(round.devices));
      return contributions.update(round.state, round.round);
    };
    auto journaled = open_journal(options.federation, whose.uid, ports, **strategy, *start);
    if (!journaled) return storage_ending_of(journaled.error());
    Coordinator coordinator(std::move(options), std::move(ports), std::move(*strategy), std::move(*start),
                            metrics_, std::move(*journaled));
    const std::uint64_t room = coordinator.upload_room();                // no client has come yet
    std::unique_ptr<FederationServer> server = std::move(whose.server);  // ends before the coordinator
    if (server != nullptr) {
      server->attach(coordinator);
    } else {
      FederationServer::Options options_of_server = server_options();
      if (!whose.data_sha256.empty())
        options_of_server.data_sha256 = learning::data_identity(whose.data_sha256);
      auto started = FederationServer::start(std::move(options_of_server), coordinator);
      if (!started) return {kExitRetry, started.error().message};
      server = *std::move(started);
    }
    frame_.publish(control::v1::PHASE_RUNNING, "");

    const auto sample = [&] {
      *frame_.status.mutable_aggregator() = coordinator.progress();
      contributions.tell(*frame_.status.mutable_aggregator());
      devices.tell(*frame_.status.mutable_aggregator());
      metrics_.sample(frame_.status.aggregator(), room - coordinator.upload_room(), room);
    };
    std::optional<Outcome> outcome;
    while (!outcome) {
      sample();
      warn_once_of_disk(coordinator.journal_full());
      frame_.publish(control::v1::PHASE_RUNNING, "");
      if (frame_.stopper.wait(kPublishInterval)) return {kExitStopped, "the aggregator was told to stop"};
      outcome = coordinator.wait_outcome(milliseconds(0));
    }
    sample();
    Ending end{outcome->exit_code, outcome->message};
    // The clients first: they take seconds, and a process killed meanwhile has its last round to resume from.
    coordinator.wait_dismissed(kDismissTime);
    server.reset();
    if (end.exit_code == 0) {
      const CommittedModel last = coordinator.committed();
      warn_of_doubts(last, whose.classes);
      const Status kept = store.finish(
          {.round = last.model->round, .parameters = last.model->values, .history = last.history});
      if (!kept) end = storage_ending_of(kept.error());
      if (kept) coordinator.clear_journal();
    }
    return end;
  }

  void warn_once_of_disk(const std::string& full) {
    if (full.empty() || std::exchange(warned_of_disk_, true)) return;
    warn(
        fmt::format("the journal of spec.aggregator.storage has no room: updates are sent back, and their "
                    "clients try again until "
                    "the round is due: {}",
                    full));
  }

  void warn(const std::string& warning) {
    spdlog::warn("{}", warning);
    frame_.status.add_warnings(warning);
  }

  // A model that is no good is written all the same: only its owner knows.
  void warn_of_doubts(const CommittedModel& last, std::int64_t classes) {
    if (last.history.empty()) return;
    const learning::HistoryPoint& end = last.history.back();
    const auto doubt = learning::doubt_about({.first_loss = last.history.front().loss,
                                              .last_loss = end.loss,
                                              .accuracy = end.accuracy,
                                              .classes = classes,
                                              .steps = last.model->round});
    if (doubt) warn(*doubt);
  }

  PodFrame& frame_;
  AggregatorMetrics& metrics_;
  bool warned_of_disk_ = false;
};

int run(milliseconds configure_timeout) {
  AggregatorMetrics metrics;
  return run_pod<spec::Federation>(
      {.name = "aggregator",
       .configure_timeout = configure_timeout,
       .registry = metrics.registry(),
       .prepare = {}},
      federation_of,
      [&metrics](PodFrame& frame, const control::v1::Assignment& assignment, spec::Federation federation) {
        learning::set_compute_threads(1);  // evaluation runs beside the clients' calls
        return Run(frame, metrics).play(assignment, std::move(federation));
      });
}

}  // namespace
}  // namespace muster::agg

int main(int argc, char** argv) try {
  muster::give_back_large_blocks();
  CLI::App app(
      "muster-aggregator runs the rounds of one FederatedRound. The operator starts and configures it.");
  std::int64_t configure_timeout = 600;
  app.add_option("--configure-timeout", configure_timeout, "Seconds to wait for the operator's assignment")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  app.set_version_flag("--version", MUSTER_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    muster::end_process(app.exit(error) == 0 ? 0 : muster::kExitInvalid);
  }
  muster::end_process(muster::agg::run(std::chrono::seconds(configure_timeout)));
} catch (const std::exception& error) {
  std::fprintf(stderr, "muster-aggregator: %s\n", error.what());
  muster::end_process(1);  // as any failure without a code of its own: the pod is tried again
}
