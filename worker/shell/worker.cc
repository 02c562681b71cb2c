// worker/shell/worker.cc: the order of things in a worker pod, and what is said about each
#include "worker/shell/worker.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "common/platform/log.h"
#include "common/platform/permitted_path.h"
#include "common/pods/standstill.h"
#include "common/spec/distributed_job.h"
#include "learning/checkpoint.h"
#include "learning/sha256.h"
#include "pod/pod_contract.h"
#include "pod/pod_life.h"
#include "worker/collective/mesh_collective.h"
#include "worker/collective/solo.h"
#include "worker/engine/train_loop.h"
#include "worker/shell/status.h"
#include "worker/shell/worker_metrics.h"
#include "worker/transport/tcp_mesh.h"

namespace muster::worker {
namespace {

using control::v1::Assignment;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kStatusInterval{100};  // between two statuses that only move numbers
constexpr seconds kLogInterval{10};
constexpr seconds kEvaluationLogInterval{2};  // epochs of small datasets may take milliseconds
constexpr seconds kConnectTimeMin{60};        // pods of one membership start at different times
constexpr seconds kStartTimeout{600};         // and load their data at different speeds

struct Job {  // an assignment, parsed
  std::string name;
  MeshIdentity identity{};
  std::vector<std::string> peers{};
  spec::Training training{};
  spec::Synchronization synchronization{};
  Topology topology = Topology::kRing;
  spec::Security security{};
  MembershipKey key{};  // of a job of one worker: zeros
  std::string fingerprint{};
};

Result<Job> parse(const Assignment& assignment) {
  if (!assignment.has_worker())
    return invalid_argument("the assignment is not a worker's; is the image of this pod the right one?");
  const auto& worker = assignment.worker();
  Job job{.name = assignment.namespace_() + "/" + assignment.name(),
          .identity = {.job_uid = assignment.uid(),
                       .membership = assignment.membership(),
                       .rank = worker.rank(),
                       .size = worker.roster_size()}};
  for (const auto& member : worker.roster()) job.peers.push_back(member.address());
  if (job.identity.size < 1 || job.identity.rank < 0 || job.identity.rank >= job.identity.size)
    return invalid_argument(
        fmt::format("rank {} of {} peers is no place in a job", worker.rank(), worker.roster_size()));
  const std::string& key = assignment.membership_key();
  if (job.identity.size > 1 && key.size() != job.key.size()) {
    return invalid_argument(
        fmt::format("the assignment of {} workers has a membership key of {} bytes instead of {}: their "
                    "connections would be anyone's; is the operator of this worker's release?",
                    job.identity.size, key.size(), job.key.size()));
  }
  std::memcpy(job.key.data(), key.data(), std::min(key.size(), job.key.size()));
  MUSTER_ASSIGN(const Json json, parse_json(assignment.spec(), "spec"));
  MUSTER_ASSIGN(spec::DistributedJobSpec spec, spec::distributed_job_from_json(json));
  if (!spec.training) return invalid_argument("spec.training: required field is missing");
  job.training = *std::move(spec.training);
  job.synchronization = std::move(spec.synchronization);
  const auto topology = topology_named(job.synchronization.topology);
  if (!topology)
    return invalid_argument(
        fmt::format("spec.synchronization.topology: this worker knows no {}; is its image of "
                    "the operator's release?",
                    job.synchronization.topology));
  job.topology = *topology;
  job.security = spec.security;
  // What may change between an interrupted training and its resumption is left out. Where the data is, says
  // nothing about what it is: its digest does.
  Json same = spec::to_json(job.training);
  same.erase("checkpoint");
  same.erase("epochs");
  same["dataset"].erase("path");
  job.fingerprint = learning::fingerprint_of(same, spec::to_json(spec::Training{}));
  return job;
}

// The process's own paths in place of the manifest's. Not part of parse: a slow volume would hold up
// Configure.
Status permit_paths(const Assignment& assignment, spec::Training& training) {
  if (std::string& path = training.dataset.path; !path.empty()) {
    MUSTER_ASSIGN(path, permitted_dataset(path, "spec.training.dataset.path"));
  }
  if (training.checkpoint) {
    std::string& path = training.checkpoint->path;
    MUSTER_ASSIGN(
        path, permitted_storage(path, "spec.training.checkpoint.path",
                                {assignment.writable_mounts().begin(), assignment.writable_mounts().end()}));
  }
  return {};
}

class Worker {
 public:
  Worker(PodFrame& frame, MeshPort& port, WorkerMetrics& metrics)
      : frame_(frame), port_(port), metrics_(metrics) {}

  Ending run(const Assignment& assignment, Job job) {
    job_ = std::move(job);
    Ending ending = work(assignment);
    frame_.stopper.set_abort({});
    if (collective_ != nullptr) collective_->leave(status_for_peers(ending));
    return ending;
  }

 private:
  Ending work(const Assignment& assignment) {
    frame_.status.mutable_worker()->set_rank(job_.identity.rank);
    frame_.publish(control::v1::PHASE_STARTING, "");
    if (const Status paths = permit_paths(assignment, job_.training); !paths) return ending_of(paths.error());
    // While the peers are connected: each takes its time.
    auto data = std::async(std::launch::async, [this] {
      return learning::load_dataset(job_.training.dataset, static_cast<std::uint64_t>(job_.training.seed));
    });
    if (const Status connected = connect(); !connected) return ending_of(connected.error());
    return train(data.get());
  }

  Status connect() {
    const seconds timeout(job_.synchronization.timeout_seconds);
    spdlog::info("assigned job={} membership={} rank={} size={} batch_size={} epochs={}", job_.name,
                 job_.identity.membership, job_.identity.rank, job_.identity.size, job_.training.batch_size,
                 job_.training.epochs);
    if (job_.identity.size == 1) {
      collective_ = std::make_unique<Solo>();
    } else {
      frame_.stopper.set_abort([this](bool /*hard*/) { port_.abort(); });
      MeshPort::Options options{.identity = job_.identity,
                                .key = job_.key,
                                .encrypt = job_.security.encrypt_traffic,
                                .peers = job_.peers,
                                .peer_timeout = seconds(job_.synchronization.peer_timeout_seconds),
                                // A rank that still loads its data takes none: what is sent to it stays
                                // unacknowledged for so long.
                                .tcp_user_timeout = start_timeout(),
                                .log = [](const std::string& line) { spdlog::warn("{}", line); },
                                .refused = [this](Refusal reason) { metrics_.count_refused(reason); }};
      MUSTER_ASSIGN(auto mesh,
                    port_.connect(std::move(options), deadline_after(std::max(timeout, kConnectTimeMin))));
      collective_ = std::make_unique<MeshCollective>(std::move(mesh), job_.topology);
      spdlog::info("mesh complete topology={} encrypted={}", name_of(job_.topology),
                   job_.security.encrypt_traffic);
    }
    frame_.stopper.set_abort([this](bool hard) {
      if (hard || !training_) collective_->abort();
    });
    return {};
  }

  Ending train(const Result<learning::Dataset>& data) {
    if (!data) return ending_of(data.error());
    auto task = learning::make_task(job_.training.model, data->train);
    if (!task) return ending_of(task.error());
    const std::int64_t parameters = (*task)->parameter_count();
    spdlog::info("data loaded train={} test={} classes={} sha256={:.16} parameters={}", data->train.size(),
                 data->test.size(), data->train.class_count, data->digest, parameters);
    for (const std::string& note : data->notes) spdlog::info("{}", note);
    for (const std::string& warning : data->warnings) warn(warning);
    auto optimizer = learning::make_optimizer(job_.training.optimizer, parameters);
    std::optional<learning::CheckpointStore> store;
    std::optional<learning::TrainingState> resume;
    if (job_.training.checkpoint && job_.identity.rank == 0) {
      store.emplace(
          learning::CheckpointOptions{.folder = job_.training.checkpoint->path,
                                      .fingerprint = job_.fingerprint,
                                      .keep = job_.training.checkpoint->keep,
                                      .data_digest = data->digest,
                                      .class_names = data->class_names,
                                      .note = [](const std::string& note) { spdlog::warn("{}", note); }},
          (*task)->tensors());
      auto loaded = store->load_newest();
      if (!loaded) return storage_ending_of(loaded.error());
      for (const std::string& line : loaded->skipped) spdlog::warn("checkpoint passed over: {}", line);
      if (loaded->state) {
        spdlog::info("resuming step={} from={}", loaded->state->step, loaded->path.string());
        metrics_.checkpoint_on_disk(loaded->state->step, std::nullopt);
      }
      resume = std::move(loaded->state);
    }
    TrainLoop loop(
        {.collective = *collective_,
         .task = **task,
         .optimizer = *optimizer,
         .training = job_.training,
         .data = *data},
        {.timeout = seconds(job_.synchronization.timeout_seconds), .start_timeout = start_timeout()},
        hooks(store));
    auto outcome = loop.run(std::move(resume));
    if (!outcome) {
      Error error = outcome.error();
      const bool of_storage = storage_error_ == error;
      if (error.code == Code::kAborted)
        return {.exit_code = kExitRetry, .message = error.message, .left_behind = true};
      if (error.code == Code::kUnavailable || error.code == Code::kDeadlineExceeded)
        error.message += fmt::format(" at step {}", step_ + 1);
      return of_storage ? storage_ending_of(error) : ending_of(error);
    }
    if (outcome->stopped) return stopped(outcome->state.step);
    if (outcome->doubt) warn(*outcome->doubt);
    return finish(outcome->state, store);
  }

  [[nodiscard]] milliseconds start_timeout() const {
    return std::max(seconds(job_.synchronization.timeout_seconds), kStartTimeout);
  }

  TrainLoop::Hooks hooks(std::optional<learning::CheckpointStore>& store) {
    TrainLoop::Hooks hooks;
    hooks.stop_requested = [this] { return frame_.stopper.requested(); };
    hooks.progress = [this](const Progress& progress, const History& history) { show(progress, history); };
    if (store) {
      hooks.save = [this, &store](const learning::TrainingState& state) -> Status {
        const Instant begun = std::chrono::steady_clock::now();
        Status saved = store->save(state);
        if (saved) {
          metrics_.checkpoint_on_disk(
              state.step, std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
          spdlog::info("checkpoint written step={}", state.step);
        } else {
          storage_error_ = saved.error();
        }
        return saved;
      };
    }
    return hooks;
  }

  // All ranks would say the same: rank 0 says it.
  void warn(const std::string& warning) {
    if (job_.identity.rank != 0) return;
    spdlog::warn("{}", warning);
    warnings_.push_back(warning);
    frame_.status.add_warnings(warning);
  }

  void show(const Progress& progress, const History& history) {
    training_ = true;
    step_ = progress.step;
    if (progress.checkpoints_skipped > skipped_) {
      skipped_ = progress.checkpoints_skipped;
      spdlog::warn(
          "checkpoint skipped step={}: the one before is still being written; raise "
          "checkpoint.everySteps or use faster storage",
          progress.step);
    }
    metrics_.show(progress);
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
    frame_.status = to_status(progress, job_.identity.rank);
    for (const std::string& warning : warnings_) frame_.status.add_warnings(warning);
    if (job_.identity.rank == 0) add_history(frame_.status, history.points());
    frame_.publish();
  }

  Ending stopped(std::int64_t step) {
    return {kExitRetry, fmt::format("{} asked to stop: the job paused after step {}{}",
                                    frame_.stopper.requested() ? "this worker was" : "another worker was",
                                    step, job_.training.checkpoint ? ", its checkpoint is written" : "")};
  }

  Ending finish(const learning::TrainingState& state, std::optional<learning::CheckpointStore>& store) {
    const std::string digest = learning::sha256_hex(std::as_bytes(std::span(state.parameters)));
    if (store) {
      if (const Status written = store->finish(state); !written) return storage_ending_of(written.error());
      spdlog::info("model written folder={}", job_.training.checkpoint->path);
    }
    frame_.status.mutable_worker()->set_parameters_sha256(digest);
    spdlog::info("done step={} payload_bytes={} expected={} parameters_sha256={}", state.step,
                 frame_.status.worker().payload_bytes_sent(), frame_.status.worker().payload_bytes_expected(),
                 digest);
    if (state.step > 0 && frame_.status.worker().resumed_from_step() == state.step)
      return {0, fmt::format("the training was finished already: its checkpoint is of step {}", state.step)};
    return {};
  }

  // The others end as this rank does where a restart would meet the same; else a restart may help them.
  [[nodiscard]] Status status_for_peers(const Ending& ending) const {
    if (ending.exit_code == 0) return {};
    const auto rank = static_cast<std::size_t>(job_.identity.rank);
    // No failure: the others' next assignment may be on its way to them, too.
    if (frame_.agent.membership() > job_.identity.membership)
      return aborted(rank_name(job_.identity.rank, job_.peers[rank]) + " goes on in another membership");
    return Error{
        ending.exit_code == kExitInvalid ? Code::kFailedPrecondition : Code::kUnavailable,
        fmt::format("{} ended: {}", rank_name(job_.identity.rank, job_.peers.empty() ? "" : job_.peers[rank]),
                    ending.message)};
  }

  PodFrame& frame_;
  MeshPort& port_;
  WorkerMetrics& metrics_;
  Job job_;
  std::unique_ptr<Collective> collective_;
  std::atomic<bool> training_ = false;  // all ranks have begun: there is a step to end
  std::optional<Error> storage_error_;  // of a checkpoint; the loop has ended its thread before this is read
  std::int64_t step_ = 0;
  std::int64_t skipped_ = 0;           // checkpoints
  std::vector<std::string> warnings_;  // for the user
  Instant next_log_{};
  Instant next_evaluation_log_{};
  Instant next_status_{};
};

}  // namespace

int run_worker(milliseconds configure_timeout) {
  WorkerMetrics metrics;
  std::unique_ptr<MeshPort> port;
  return run_pod<Job>({.name = "worker",
                       .configure_timeout = configure_timeout,
                       .registry = metrics.registry(),
                       // Its port is open before the peers are told of it.
                       .prepare = [&port](const PodEnvironment& pod) -> Status {
                         MUSTER_ASSIGN(port, MeshPort::listen(pod.ip, kDataPort));
                         return {};
                       }},
                      parse, [&](PodFrame& frame, const Assignment& assignment, Job job) -> Ending {
                        if (port == nullptr) {  // of a membership before this one
                          auto again = MeshPort::listen(frame.pod.ip, kDataPort);
                          if (!again) return {kExitRetry, again.error().message};
                          port = *std::move(again);
                        }
                        const auto mine = std::exchange(port, nullptr);
                        return Worker(frame, *mine, metrics).run(assignment, std::move(job));
                      });
}

}  // namespace muster::worker
