// worker/shell/worker.cc: the order of things in a worker pod, and what is said about each
#include "worker/shell/worker.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "common/platform/log.h"
#include "common/platform/permitted_path.h"
#include "learning/checkpoint.h"
#include "pod/pod_contract.h"
#include "pod/pod_life.h"
#include "worker/engine/train_loop.h"
#include "worker/shell/gpus.h"
#include "worker/shell/job.h"
#include "worker/shell/meeting.h"
#include "worker/shell/parameter_server.h"
#include "worker/shell/program_side.h"
#include "worker/shell/status.h"
#include "worker/shell/way_to_meet.h"
#include "worker/shell/worker_metrics.h"

namespace muster::worker {
namespace {

using control::v1::Assignment;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kStatusInterval{100};  // between two statuses that only move numbers
constexpr seconds kLogInterval{10};
constexpr seconds kEvaluationLogInterval{2};  // epochs of small datasets may take milliseconds
constexpr seconds kConnectTimeMin{60};        // pods of one membership start at different times
constexpr int kPatience = 5;                  // with a step that takes no time, in peerTimeoutSeconds
constexpr seconds kStartTimeout{600};         // and load their data at different speeds

// Of the process: what it has learnt, its data and what it counts outlive memberships.
class Worker {
 public:
  // `program`: of a job with spec.training.program; outlives it.
  Worker(WorkerMetrics& metrics, const std::unique_ptr<program::ProgramLink>& program)
      : metrics_(metrics), program_(program), server_(metrics) {}

  Ending run(PodFrame& frame, MeshPort& port, const Assignment& assignment, Job job) {
    if (group_ended_) return *group_ended_;  // its program knows no other membership
    frame_ = &frame;
    job_ = std::move(job);
    training_ = false;
    skipped_ = 0;
    Ending ending = ending_with_gpus(work(port, assignment), job_, gpus_);
    frame.stopper.set_abort({});
    if (meeting_ != nullptr) meeting_->leave(status_for_peers(ending, job_, frame.agent.membership()));
    meeting_.reset();
    return ending;
  }

 private:
  // What the spec of an object, which does not change, makes of its data.
  struct Prepared {
    spec::Training training;
    learning::Dataset data;
    std::unique_ptr<learning::Model> model;
    int parts = 0;  // Job::parts
    std::optional<OwnExamples> own;
  };

  Ending work(MeshPort& port, const Assignment& assignment) {
    frame_->status.mutable_worker()->set_rank(job_.identity.rank);
    for (const std::string& warning : warnings_) frame_->status.add_warnings(warning);
    frame_->publish(control::v1::PHASE_STARTING, "");
    if (!job_.is_server()) {  // which needs no files
      if (const Status paths = permit_paths(assignment, job_.training); !paths)
        return ending_of(paths.error());
    }
    // While the peers are connected: each takes its time. A parameter server needs no data.
    auto data = std::async(std::launch::async, [this] { return job_.is_server() ? Status() : prepare(); });
    if (const Status connected = connect(port); !connected) {
      Ending ending = ending_of(connected.error());
      ending.left_behind = may_go_on(connected.error());
      return ending;
    }
    if (const Status prepared = data.get(); !prepared) return ending_of(prepared.error());
    return job_.is_server() ? serve() : train();
  }

  Status connect(MeshPort& port) {
    spdlog::info("assigned job={} membership={} rank={} size={} servers={} batch_size={} epochs={}",
                 job_.name, job_.identity.membership, job_.identity.rank, job_.workers(), job_.servers,
                 job_.training.batch_size, job_.training.epochs);
    frame_->stopper.set_abort([&port](bool /*hard*/) { port.abort(); });
    MUSTER_ASSIGN(meeting_,
                  Meeting::connect(port, job_,
                                   {.connect_timeout = std::max(timeout(), milliseconds(kConnectTimeMin)),
                                    .start_timeout = start_timeout(),
                                    .refused = [this](Refusal reason) { metrics_.count_refused(reason); },
                                    .nccl = &nccl_}));
    // A parameter server serves on until the workers have saved what they learnt.
    frame_->stopper.set_abort([this](bool hard) {
      if (hard || (!training_ && !job_.is_server())) meeting_->abort();
    });
    return {};
  }

  Ending serve() {
    const Status served = server_.serve(*frame_, job_, meeting_->mesh());
    if (served) return {};
    return may_go_on(served.error())
               ? Ending{.exit_code = kExitRetry, .message = served.error().message, .left_behind = true}
               : ending_of(served.error());
  }

  Status prepare() {
    if (prepared_ && prepared_->training == job_.training) {
      if (prepared_->parts == job_.parts) return {};
      MUSTER_ASSIGN(prepared_->own, own_examples_of(job_, frame_->pod.index, prepared_->data));
      prepared_->parts = job_.parts;
      return {};
    }
    writer_.reset();
    store_.reset();
    learnt_ = {};
    prepared_.reset();
    learning::Dataset data;
    std::unique_ptr<learning::Model> model;
    if (job_.training.program) {
      MUSTER_TRY(meet_program(program_.get(), job_, start_timeout()));
      data = data_of_program(*program_, job_);
      model = std::make_unique<program::ProgramModel>(*program_);
    } else {
      const auto seed = static_cast<std::uint64_t>(job_.training.seed);
      MUSTER_ASSIGN(data, learning::load_dataset(job_.training.dataset, seed));
      MUSTER_ASSIGN(model, learning::make_model(job_.training.model, data.train));
    }
    MUSTER_ASSIGN(auto own, own_examples_of(job_, frame_->pod.index, data));
    prepared_.emplace(Prepared{.training = job_.training,
                               .data = std::move(data),
                               .model = std::move(model),
                               .parts = job_.parts,
                               .own = std::move(own)});
    tell_data_ = true;
    return {};
  }

  void tell_data() {
    if (!std::exchange(tell_data_, false)) return;
    const learning::Dataset& data = prepared_->data;
    spdlog::info("data loaded train={} test={} classes={} sha256={:.16} parameters={} device={}",
                 data.train.size(), data.test.size(), data.train.class_count, data.digest,
                 prepared_->model->parameter_count(), prepared_->model->device());
    for (const std::string& note : data.notes) spdlog::info("{}", note);
    for (const std::string& warning : data.warnings) warn(warning);
  }

  // Rank 0 writes the checkpoints, and begins with the newest where nothing is learnt yet.
  std::optional<Ending> open_store() {
    if (!job_.training.checkpoint || !saves()) return std::nullopt;
    if (!store_) {
      if (auto below = permitted_storage_folder(job_.training.checkpoint->path, folder()); !below)
        return storage_ending_of(below.error());
      store_.emplace(
          learning::CheckpointOptions{.folder = folder(),
                                      .fingerprint = job_.fingerprint,
                                      .keep = job_.training.checkpoint->keep,
                                      .data_digest = prepared_->data.digest,
                                      .class_names = prepared_->data.class_names,
                                      .note = [](const std::string& note) { spdlog::warn("{}", note); }},
          prepared_->model->tensors());
      writer_.emplace([this](const learning::TrainingState& state) { return write(state); });
    }
    if (learnt_.state) return std::nullopt;
    auto loaded = store_->load_newest();
    if (!loaded) return storage_ending_of(loaded.error());
    for (const std::string& line : loaded->skipped) spdlog::warn("checkpoint passed over: {}", line);
    if (loaded->state) {
      spdlog::info("resuming step={} from={}", loaded->state->step, loaded->path.string());
      metrics_.checkpoint_on_disk(loaded->state->step, std::nullopt);
    }
    learnt_ = {.state = std::move(loaded->state)};
    return std::nullopt;
  }

  // Of a model that all have, rank 0's pod; of models of their own, each.
  [[nodiscard]] bool saves() const { return job_.identity.rank == 0 || job_.synchronization.is_gossip(); }
  [[nodiscard]] std::string folder() const { return checkpoint_folder(job_, frame_->pod.index); }

  // On a thread of the writer.
  Status write(const learning::TrainingState& state) {
    const Instant begun = std::chrono::steady_clock::now();
    Status saved = store_->save(state);
    if (saved) {
      metrics_.checkpoint_on_disk(
          state.step, std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
      spdlog::info("checkpoint written step={}", state.step);
    } else {
      spdlog::error("checkpoint not written step={}: {}", state.step, saved.error().message);
    }
    return saved;
  }

  // It ends with its group.
  Ending share() {
    training_ = true;  // a wish to stop is heard between its calls, so that the others hear who goes
    group_ended_ = share_group(*frame_, job_, *program_, meeting_->workers(), timeout());
    return *group_ended_;
  }

  Ending train() {
    if (job_.training.program && program_->part() == program::Part::kGroup) return share();
    tell_data();
    if (auto ending = open_store()) return *std::move(ending);
    if (learnt_.membership > 0)
      spdlog::info("going on step={} from membership={}", learnt_.state->step, learnt_.membership);
    program::ProgramLink* const program = job_.training.program ? program_.get() : nullptr;
    auto way = make_way_to_meet(job_, *meeting_, *prepared_->model,
                                {.timeout = timeout(), .start_timeout = start_timeout()}, program);
    if (!way) return lost(way.error());
    TrainLoop loop({.collective = meeting_->workers(),
                    .model = *prepared_->model,
                    .synchronizer = *way->synchronizer,
                    .training = job_.training,
                    .data = prepared_->data,
                    .asynchronous = way->asynchronous,
                    .local = way->local,
                    .own = prepared_->own ? &*prepared_->own : nullptr,
                    .writer = writer_ && saves() ? &*writer_ : nullptr,
                    .parameters = program != nullptr ? program->parameters() : std::span<float>(),
                    .gradient = program != nullptr ? program->gradient() : std::span<float>()},
                   {.membership = job_.identity.membership,
                    .timeout = timeout(),
                    .start_timeout = start_timeout(),
                    .least_patience = patience()},
                   hooks());
    const bool from_checkpoint = learnt_.state && learnt_.membership == 0;
    auto outcome = loop.run(std::move(learnt_));
    learnt_ = {};
    if (!outcome) {
      learnt_ = loop.learnt();
      return lost(outcome.error());
    }
    if (outcome->stopped) return stopped(std::move(outcome->state));
    if (outcome->doubt) warn(*outcome->doubt);
    return finish(std::move(outcome->state), from_checkpoint);
  }

  // What ended the training in this membership.
  Ending lost(Error error) {
    if (writer_ && writer_->failure() == error) return storage_ending_of(error);
    if (!may_go_on(error)) return ending_of(error);
    if (error.code != Code::kAborted) error.message += fmt::format(" at step {}", step_ + 1);
    return {.exit_code = kExitRetry, .message = error.message, .left_behind = true};
  }

  [[nodiscard]] milliseconds timeout() const { return seconds(job_.synchronization.timeout_seconds); }
  // A program may do other things between its steps: it is waited for as long as an exchange may take.
  [[nodiscard]] std::optional<milliseconds> patience() const {
    if (job_.training.program) return std::nullopt;
    return kPatience * seconds(job_.synchronization.peer_timeout_seconds);
  }
  [[nodiscard]] milliseconds start_timeout() const {
    return std::max(seconds(job_.synchronization.timeout_seconds), kStartTimeout);
  }

  TrainLoop::Hooks hooks() {
    TrainLoop::Hooks hooks;
    hooks.stop_requested = [this] { return frame_->stopper.requested(); };
    hooks.progress = [this](const Progress& progress, const History& history) { show(progress, history); };
    if (job_.training.program) ask_program(hooks, *program_);
    heed_gpus(hooks, job_, gpus_);
    return hooks;
  }

  // All ranks would say the same: rank 0 says it.
  void warn(const std::string& warning) {
    if (job_.identity.rank != 0) return;
    spdlog::warn("{}", warning);
    warnings_.push_back(warning);
    frame_->status.add_warnings(warning);
  }

  void show(const Progress& progress, const History& history) {
    training_ = true;
    step_ = progress.step;
    if (job_.training.program) place_program(*program_, progress, job_);
    if (progress.checkpoints_skipped > skipped_) {
      skipped_ = progress.checkpoints_skipped;
      spdlog::warn(
          "checkpoint skipped step={}: the one before is still being written; raise "
          "checkpoint.everySteps or use faster storage",
          progress.step);
    }
    if (progress.first_not_finite && !std::exchange(not_finite_told_, true))
      warn(warning_of(*progress.first_not_finite));
    metrics_.show(progress);
    const Instant now = std::chrono::steady_clock::now();
    const bool evaluated = progress.test && !history.points().empty() && history.points().back().accuracy;
    const bool last = progress.step == progress.total_steps;
    if (progress.step == 0 || last || (evaluated && now >= next_evaluation_log_) || now >= next_log_) {
      next_log_ = now + kLogInterval;
      next_evaluation_log_ = now + kEvaluationLogInterval;
      spdlog::info("{}", line_of(progress, evaluated));
    }
    if (!evaluated && !last && now < next_status_) return;
    next_status_ = now + kStatusInterval;
    frame_->status = to_status(progress, job_.identity.rank);
    for (const std::string& warning : warnings_) frame_->status.add_warnings(warning);
    if (job_.identity.rank == 0) add_lists(frame_->status, progress, history.points());
    frame_->publish();
  }

  Ending stopped(learning::TrainingState state) {
    const char* const saved = job_.training.checkpoint ? ", its checkpoint is written" : "";
    const bool mine = frame_->stopper.requested();
    Ending ending{.exit_code = kExitRetry,
                  .message = fmt::format("{} asked to stop: the job paused after step {}{}",
                                         mine ? "this worker was" : "another worker was", state.step, saved),
                  .left_behind = !mine};
    learnt_ = {.state = std::move(state), .membership = job_.identity.membership};
    return ending;
  }

  Ending finish(learning::TrainingState state, bool from_checkpoint) {
    if (store_) {
      if (const Status written = store_->finish(state); !written) {
        learnt_ = {.state = std::move(state), .membership = job_.identity.membership};
        return storage_ending_of(written.error());
      }
      spdlog::info("model written folder={}", folder());
    }
    tell_digests(frame_->status, state, job_.has_replicas());
    const std::string& digest = frame_->status.worker().parameters_sha256();
    spdlog::info("done step={} payload_bytes={} expected={} parameters_sha256={}", state.step,
                 frame_->status.worker().payload_bytes_sent(),
                 frame_->status.worker().payload_bytes_expected(), digest);
    if (from_checkpoint && frame_->status.worker().resumed_from_step() == state.step)
      return {0, fmt::format("the training was finished already: its checkpoint is of step {}", state.step)};
    return {};
  }

  WorkerMetrics& metrics_;
  const std::unique_ptr<program::ProgramLink>& program_;
  PodFrame* frame_ = nullptr;  // of the membership, as the job and the collective
  Job job_;
  gpu::GpuWatch gpus_{watch_gpus(metrics_)};
  nccl::Group nccl_{{}};
  std::unique_ptr<Meeting> meeting_;
  std::atomic<bool> training_ = false;  // all ranks have begun: there is a step to end
  std::optional<Prepared> prepared_;
  ParameterServer server_;
  bool tell_data_ = false;
  std::optional<Ending> group_ended_;
  Learnt learnt_;  // between memberships
  std::int64_t step_ = 0;
  std::int64_t skipped_ = 0;  // checkpoints
  bool not_finite_told_ = false;
  std::vector<std::string> warnings_;  // for the user
  Instant next_log_{};
  Instant next_evaluation_log_{};
  Instant next_status_{};
  std::optional<learning::CheckpointStore> store_;
  std::optional<CheckpointWriter> writer_;  // last: its thread uses the others
};

}  // namespace

int run_worker(milliseconds configure_timeout) {
  WorkerMetrics metrics;
  std::unique_ptr<MeshPort> port;
  std::unique_ptr<program::ProgramLink> program;
  Worker worker(metrics, program);
  return run_pod<Job>({.name = "worker",
                       .configure_timeout = configure_timeout,
                       .registry = metrics.registry(),
                       // Its port is open before the peers are told of it.
                       .prepare = [&port, &program](const PodEnvironment& pod, Stopper& stopper) -> Status {
                         MUSTER_ASSIGN(port, MeshPort::listen(pod.ip, kDataPort));
                         return await_program(program, Synchronizer::kRiders, stopper);
                       },
                       .linger =
                           [&program](const auto& ending, const auto& after) {
                             linger_with_program(program, ending, after, [&after](double accuracy) {
                               after.status.mutable_worker()->set_accuracy(accuracy);
                             });
                           }},
                      parse, [&](PodFrame& frame, const Assignment& assignment, Job job) -> Ending {
                        if (port == nullptr) {  // of a membership before this one
                          auto again = MeshPort::listen(frame.pod.ip, kDataPort);
                          if (!again) return {kExitRetry, again.error().message};
                          port = *std::move(again);
                        }
                        const auto mine = std::exchange(port, nullptr);
                        return worker.run(frame, *mine, assignment, std::move(job));
                      });
}

}  // namespace muster::worker
