// worker/shell/worker.cc: the order of things in a worker pod, and what is said about each
#include "worker/shell/worker.h"

#include <fmt/format.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

#include "common/platform/log.h"
#include "common/spec/training.h"
#include "learning/checkpoint.h"
#include "learning/sha256.h"
#include "proto/agent/agent_server.h"
#include "worker/collective/ring.h"
#include "worker/collective/solo.h"
#include "worker/engine/train_loop.h"
#include "worker/shell/status.h"
#include "worker/shell/worker_metrics.h"
#include "worker/transport/tcp_ring.h"

namespace muster::worker {
namespace {

using control::v1::Assignment;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kStatusInterval{100};  // between two statuses that only move numbers
constexpr seconds kLogInterval{10};
constexpr seconds kEvaluationLogInterval{2};  // epochs of small datasets may take milliseconds
constexpr seconds kConnectTimeMin{60};        // pods of one generation start at different times
constexpr milliseconds kStopTime{
    2'000};  // after SIGTERM for the step under way; then its collective is aborted
constexpr milliseconds kExitTime{2'800};  // then the process ends whatever it does

struct Job {  // an assignment, parsed
  std::string name;
  RingIdentity identity{};
  std::vector<std::string> peers{};
  spec::Training training{};
  spec::Synchronization synchronization{};
  std::string fingerprint{};
};

Result<Job> parse(const Assignment& assignment) {
  if (!assignment.has_worker())
    return invalid_argument("the assignment is not a worker's; is the image of this pod the right one?");
  const auto& worker = assignment.worker();
  Job job{.name = assignment.namespace_() + "/" + assignment.name(),
          .identity = {.job_uid = assignment.uid(),
                       .generation = assignment.generation(),
                       .rank = worker.rank(),
                       .size = worker.peers_size()},
          .peers = {worker.peers().begin(), worker.peers().end()}};
  if (job.identity.size < 1 || job.identity.rank < 0 || job.identity.rank >= job.identity.size)
    return invalid_argument(
        fmt::format("rank {} of {} peers is no place in a job", worker.rank(), worker.peers_size()));
  MUSTER_ASSIGN(const Json training, parse_json(worker.training(), "spec.training"));
  MUSTER_ASSIGN(job.training, spec::training_from_json(training));
  if (!worker.synchronization().empty()) {
    MUSTER_ASSIGN(const Json synchronization, parse_json(worker.synchronization(), "spec.synchronization"));
    MUSTER_ASSIGN(job.synchronization, spec::synchronization_from_json(synchronization));
  }
  // What may change between an interrupted training and its resumption is left out.
  Json same = spec::to_json(job.training);
  same.erase("checkpoint");
  same.erase("epochs");
  job.fingerprint = learning::fingerprint_of(same.dump());
  job.training.dataset.path = resolve_mount(job.training.dataset.path);
  if (job.training.checkpoint) job.training.checkpoint->path = resolve_mount(job.training.checkpoint->path);
  return job;
}

// Listens for SIGTERM beside the training: asks it to stop, then makes it stop, then ends the process.
class Stopper {
 public:
  explicit Stopper(SignalWaiter& signals) : thread_([this, &signals] { run(signals); }) {}
  ~Stopper() {
    over_ = true;
    thread_.join();
  }

  [[nodiscard]] bool requested() const { return requested_.load(std::memory_order_relaxed); }
  // Called on SIGTERM (at once if it has come already), and again with `hard` when the time is up.
  void set_abort(std::function<void(bool hard)> abort) {
    const std::scoped_lock lock(mutex_);
    abort_ = std::move(abort);
    if (requested() && abort_) abort_(false);
  }

 private:
  static constexpr milliseconds kLookInterval{100};  // how late the end of the program is noticed

  void run(SignalWaiter& signals) {
    std::optional<Instant> since;
    bool aborted = false;
    while (!over_) {
      if (signals.wait(kLookInterval) && !since) {
        since = std::chrono::steady_clock::now();
        spdlog::info("asked to stop: ending after the present step");
        requested_ = true;
        call(false);
      }
      if (!since) continue;
      const auto passed = std::chrono::steady_clock::now() - *since;
      if (passed > kStopTime && !std::exchange(aborted, true)) call(true);
      if (passed > kExitTime) {
        spdlog::warn("the present step takes too long: ending without it");
        std::_Exit(kExitStopped);
      }
    }
  }
  void call(bool hard) {
    const std::scoped_lock lock(mutex_);
    if (abort_) abort_(hard);
  }

  std::atomic<bool> over_ = false;
  std::atomic<bool> requested_ = false;
  std::mutex mutex_;
  std::function<void(bool)> abort_;
  std::thread thread_;
};

class Worker {
 public:
  Worker(const WorkerOptions& options, SignalWaiter& signals) : options_(options), stopper_(signals) {}

  Ending run() {
    Ending ending = work();
    if (ending.exit_code != 0 && stopper_.requested()) ending.exit_code = kExitStopped;
    if (collective_ != nullptr && ending.exit_code != 0) collective_->leave(reason_for_peers(ending));
    stopper_.set_abort({});
    if (ending.exit_code == 0) {
      write_termination_message(options_.pod, last_words(status_));
    } else {
      spdlog::error("{} exit_code={}", ending.message, ending.exit_code);
      write_termination_message(options_.pod, ending.message);
      status_.set_phase(control::v1::PHASE_FAILED);
      status_.set_message(ending.message);
    }
    if (agent_ != nullptr) {
      agent_->publish(status_);
      agent_->stop();
    }
    return ending;
  }

 private:
  Ending work() {
    if (const Status up = serve(); !up) return ending_of(Stage::kStart, up.error());
    spdlog::info("waiting for the operator's assignment pod={} address={}:{}", options_.pod.name,
                 options_.pod.ip, agent_->port());
    auto assignment = agent_->wait_for_assignment(deadline_after(options_.configure_timeout));
    if (!assignment) return ending_of(Stage::kAssignment, assignment.error());
    auto job = parse(*assignment);
    if (!job) return ending_of(Stage::kAssignment, job.error());
    job_ = *std::move(job);
    status_.set_phase(control::v1::PHASE_STARTING);
    status_.mutable_worker()->set_rank(job_.identity.rank);
    agent_->publish(status_);
    if (const Status ring = connect(); !ring) return ending_of(Stage::kConnect, ring.error());
    return train();
  }

  Status serve() {
    MUSTER_ASSIGN(metrics_, WorkerMetrics::start({.ip = options_.pod.ip, .port = kMetricsPort}));
    MUSTER_ASSIGN(ring_, TcpRing::listen(options_.pod.ip, kDataPort));
    MUSTER_ASSIGN(agent_, AgentServer::start({.ip = options_.pod.ip,
                                              .port = kControlPort,
                                              .job_uid = options_.pod.job_uid,
                                              .generation = options_.generation,
                                              .accept = [](const Assignment& assignment) -> Status {
                                                MUSTER_TRY(parse(assignment));
                                                return {};
                                              }}));
    stopper_.set_abort([this](bool /*hard*/) { agent_->cancel(); });
    return {};
  }

  Status connect() {
    const seconds timeout(job_.synchronization.timeout_seconds);
    spdlog::info("assigned job={} generation={} rank={} size={} batch_size={} epochs={}", job_.name,
                 job_.identity.generation, job_.identity.rank, job_.identity.size, job_.training.batch_size,
                 job_.training.epochs);
    if (job_.identity.size == 1) {
      collective_ = std::make_unique<Solo>();
      ring_.reset();
    } else {
      stopper_.set_abort([this](bool /*hard*/) { ring_->abort(); });
      TcpRing::Options options{.identity = job_.identity,
                               .peers = job_.peers,
                               .peer_timeout = timeout,
                               .log = [](const std::string& line) { spdlog::warn("{}", line); }};
      MUSTER_ASSIGN(auto links,
                    ring_->connect(std::move(options), deadline_after(std::max(timeout, kConnectTimeMin))));
      collective_ = std::make_unique<Ring>(std::move(links));
      spdlog::info("ring complete successor={}",
                   job_.peers[static_cast<std::size_t>((job_.identity.rank + 1) % job_.identity.size)]);
    }
    stopper_.set_abort([this](bool hard) {
      if (hard || !training_) collective_->abort();
    });
    return {};
  }

  Ending train() {
    auto data = learning::load_dataset(job_.training.dataset, static_cast<std::uint64_t>(job_.training.seed));
    if (!data) return ending_of(Stage::kData, data.error());
    auto task = learning::make_task(job_.training.model, data->train);
    if (!task) return ending_of(Stage::kData, task.error());
    const std::int64_t parameters = (*task)->parameter_count();
    spdlog::info("data loaded train={} test={} parameters={}", data->train.size(), data->test.size(),
                 parameters);
    auto optimizer = learning::make_optimizer(job_.training.optimizer, parameters);
    std::optional<learning::CheckpointStore> store;
    std::optional<learning::TrainingState> resume;
    if (job_.training.checkpoint && job_.identity.rank == 0) {
      store.emplace(learning::CheckpointOptions{.folder = job_.training.checkpoint->path,
                                                .fingerprint = job_.fingerprint,
                                                .keep = job_.training.checkpoint->keep},
                    (*task)->tensors());
      auto loaded = store->load_newest();
      if (!loaded) return ending_of(Stage::kResume, loaded.error());
      for (const std::string& line : loaded->skipped) spdlog::warn("checkpoint passed over: {}", line);
      if (loaded->state) spdlog::info("resuming step={} from={}", loaded->state->step, loaded->path.string());
      resume = std::move(loaded->state);
    }
    TrainLoop loop({.collective = *collective_,
                    .task = **task,
                    .optimizer = *optimizer,
                    .training = job_.training,
                    .data = *data},
                   {.timeout = seconds(job_.synchronization.timeout_seconds)}, hooks(store));
    training_ = true;
    auto outcome = loop.run(std::move(resume));
    if (!outcome) {
      Error error = outcome.error();
      if (error.code == Code::kUnavailable || error.code == Code::kDeadlineExceeded)
        error.message += fmt::format(" at step {}", step_ + 1);
      return ending_of(storage_failed_ ? Stage::kStorage : Stage::kTrain, error);
    }
    if (outcome->stopped) return stopped(outcome->state.step);
    return finish(outcome->state, store);
  }

  TrainLoop::Hooks hooks(std::optional<learning::CheckpointStore>& store) {
    TrainLoop::Hooks hooks;
    hooks.stop_requested = [this] { return stopper_.requested(); };
    hooks.progress = [this](const Progress& progress, const History& history) { show(progress, history); };
    if (store) {
      hooks.save = [this, &store](const learning::TrainingState& state) -> Status {
        const Status saved = store->save(state);
        storage_failed_ = !saved;
        if (saved) spdlog::info("checkpoint written step={}", state.step);
        return saved;
      };
    }
    return hooks;
  }

  void show(const Progress& progress, const History& history) {
    step_ = progress.step;
    metrics_->show(progress);
    const Instant now = std::chrono::steady_clock::now();
    const bool evaluated = progress.test && !history.points().empty() && history.points().back().accuracy;
    const bool last = progress.step == progress.total_steps;
    if (progress.step == 0 || last || (evaluated && now >= next_evaluation_log_) || now >= next_log_) {
      next_log_ = now + kLogInterval;
      next_evaluation_log_ = now + kEvaluationLogInterval;
      spdlog::info("step={}/{} epoch={:.2f} loss={:.4f}{} examples_per_second={:.0f}", progress.step,
                   progress.total_steps, progress.epoch, progress.loss,
                   evaluated ? fmt::format(" test_loss={:.4f} accuracy={:.4f}", progress.test->loss,
                                           progress.test->accuracy)
                             : "",
                   progress.examples_per_second);
    }
    if (!evaluated && !last && now < next_status_) return;
    next_status_ = now + kStatusInterval;
    status_ = to_status(progress, job_.identity.rank);
    if (job_.identity.rank == 0) add_history(status_, history.points());
    agent_->publish(status_);
  }

  Ending stopped(std::int64_t step) {
    return {kExitRetry, fmt::format("{} asked to stop: the job paused after step {}{}",
                                    stopper_.requested() ? "this worker was" : "another worker was", step,
                                    job_.training.checkpoint ? ", its checkpoint is written" : "")};
  }

  Ending finish(const learning::TrainingState& state, std::optional<learning::CheckpointStore>& store) {
    const std::string digest = learning::sha256_hex(std::as_bytes(std::span(state.parameters)));
    if (store) {
      if (const Status written = store->finish(state); !written)
        return ending_of(Stage::kStorage, written.error());
      spdlog::info("model written folder={}", job_.training.checkpoint->path);
    }
    status_.set_phase(control::v1::PHASE_SUCCEEDED);
    status_.set_generation(job_.identity.generation);
    status_.mutable_worker()->set_parameters_sha256(digest);
    spdlog::info("done step={} payload_bytes={} expected={} parameters_sha256={}", state.step,
                 status_.worker().payload_bytes_sent(), status_.worker().payload_bytes_expected(), digest);
    return {};
  }

  [[nodiscard]] std::string reason_for_peers(const Ending& ending) const {
    const auto rank = static_cast<std::size_t>(job_.identity.rank);
    return fmt::format("rank {} ({}) ended: {}", rank, job_.peers.empty() ? "" : job_.peers[rank],
                       ending.message);
  }

  const WorkerOptions& options_;
  Job job_;
  std::unique_ptr<WorkerMetrics> metrics_;
  std::unique_ptr<TcpRing> ring_;
  std::unique_ptr<AgentServer> agent_;
  std::unique_ptr<Collective> collective_;
  control::v1::AgentStatus status_;
  std::atomic<bool> training_ = false;
  bool storage_failed_ = false;
  std::int64_t step_ = 0;
  Instant next_log_{};
  Instant next_evaluation_log_{};
  Instant next_status_{};
  Stopper stopper_;  // last: its thread uses the others
};

}  // namespace

Ending run_worker(const WorkerOptions& options, SignalWaiter& signals) {
  return Worker(options, signals).run();
}

}  // namespace muster::worker
