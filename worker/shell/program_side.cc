// worker/shell/program_side.cc: what is told to a program, and what is made of its words
#include "worker/shell/program_side.h"

#include <fmt/format.h>
#include <utility>

#include "common/json/read_json.h"
#include "common/platform/log.h"
#include "pod/pod_contract.h"
#include "worker/shell/group_side.h"
#include "worker/shell/status.h"

namespace muster::worker {
namespace {

using std::chrono::milliseconds;

program::World world_of(const Job& job) {
  return {.rank = job.identity.rank,
          .size = job.workers(),
          .membership = job.identity.membership,
          .batch_size = job.training.batch_size,
          .epochs = job.training.epochs,
          .seed = job.training.seed,
          .place = job.servers > 0 ? program::Place::kServers : program::Place::kProgram};
}

// Servers make the manifest's step: a program that means another one would train otherwise than it reads.
Status compare_optimizers(const std::string& told, const spec::Optimizer& manifest) {
  if (told.empty()) return {};
  MUSTER_ASSIGN(const Json json, parse_json(told, "the program's optimizer"));
  MUSTER_ASSIGN(const spec::Optimizer optimizer, spec::optimizer_from_json(json, "the program's optimizer"));
  const Json here = spec::to_json(optimizer);
  const Json there = spec::to_json(manifest);
  for (const auto& [name, value] : there.items())
    if (!here.contains(name) || here[name] != value)
      return invalid_argument(fmt::format(
          "parameter servers make the steps of spec.training.optimizer, where {} is {}, at the program's "
          "optimizer {}; write the same in both",
          name, value.dump(), here.value(name, Json("nothing")).dump()));
  return {};
}

constexpr std::int64_t kCallsUntilWarned = 100;
constexpr const char* kNothingCompressed =
    "spec.compression compresses nothing: the program makes no sum that may be compressed; register "
    "muster.c10d.compressed_hook with its DistributedDataParallel, or remove the field";

Status check_group(const Job& job) {
  const auto refuse = [](const char* field, const char* why) {
    return invalid_argument(std::string(field) +
                            ": the program asks for collectives (init_process_group), and " + why +
                            "; remove the field, or let the program call muster.init()");
  };
  const std::string& topology = job.synchronization.topology;
  if (topology == "ParameterServer" || topology == "Gossip")
    return refuse("spec.synchronization.topology", "sums go by a topology of sums, such as Ring");
  if (job.synchronization.local_steps > 1)
    return refuse("spec.synchronization.localSteps", "has no steps that Muster knows");
  if (job.compression.low_rank > 0)
    return refuse("spec.compression.lowRank", "the layers of its model are not known");
  if (job.training.checkpoint) return refuse("spec.training.checkpoint", "keeps its own files");
  return {};
}

}  // namespace

Status meet_program(program::ProgramLink* link, const Job& job, milliseconds patience) {
  MUSTER_TRY(require_program(link));
  MUSTER_TRY(link->meet(world_of(job), deadline_after(patience)));
  return job.servers > 0 ? compare_optimizers(link->model().optimizer, job.training.optimizer) : Status();
}

Ending share_group(PodFrame& frame, const Job& job, program::ProgramLink& link, Collective& collective,
                   milliseconds timeout) {
  if (const Status sound = check_group(job); !sound) return ending_of(sound.error());
  const Status shared =
      GroupSide(link, collective, timeout, job.compression, static_cast<std::uint64_t>(job.training.seed))
          .serve([&frame] { return frame.stopper.requested(); },
                 [&](const GroupProgress& progress) {
                   frame.status = to_status(progress, job.identity.rank);
                   if (job.compression.by_codec() && progress.compressed_calls == 0 &&
                       progress.calls > kCallsUntilWarned)
                     frame.status.add_warnings(kNothingCompressed);
                   frame.publish();
                 });
  if (shared) {
    // With the end: how much there is to do, the program alone knows.
    frame.status.mutable_worker()->set_total_steps(frame.status.worker().step());
    return {};
  }
  spdlog::warn("the group has ended: {}", shared.error().message);
  const Code code = shared.error().code;
  const bool peers = code == Code::kUnavailable || code == Code::kDeadlineExceeded || code == Code::kAborted;
  return peers ? Ending{.exit_code = kExitRetry, .message = shared.error().message}
               : ending_of(shared.error());
}

learning::Dataset data_of_program(const program::ProgramLink& link, const Job& job) {
  learning::Dataset data = program::dataset_of(link.model());
  const std::int64_t asked = link.model().batch_size;
  if (asked != 0 && asked != job.training.batch_size)
    data.warnings.push_back(fmt::format(
        "the program asks for batches of {} examples; spec.training.batchSize, which holds, is {}", asked,
        job.training.batch_size));
  return data;
}

void ask_program(TrainLoop::Hooks& hooks, program::ProgramLink& link) {
  hooks.task_failure = [&link] { return link.failure(); };
  hooks.told_accuracy = [&link] { return link.told_accuracy(); };
}

void place_program(program::ProgramLink& link, const Progress& progress, const Job& job) {
  link.place({.step = progress.step,
              .total_steps = progress.total_steps,
              .epoch = static_cast<std::int64_t>(progress.epoch),
              .rank = job.identity.rank,
              .size = job.workers(),
              .membership = job.identity.membership});
}

}  // namespace muster::worker
