// worker/shell/program_side.cc: what is told to a program, and what is made of its words
#include "worker/shell/program_side.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <utility>

#include "common/json/read_json.h"
#include "common/platform/log.h"
#include "pod/pod_contract.h"

namespace muster::worker {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kConnectLook{20};
constexpr milliseconds kLook{100};  // for what a program tells after its training

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

Result<std::unique_ptr<program::ProgramLink>> listen_for_program() {
  const char* path = std::getenv(kSocketVariable);
  if (path == nullptr || *path == '\0') return std::unique_ptr<program::ProgramLink>();
  return program::ProgramLink::listen({.path = path,
                                       // As the kubelet would: a program is asked before its sidecars are.
                                       .stop_asked = [] { ::kill(::getpid(), SIGTERM); },
                                       .riders = Synchronizer::kRiders});
}

}  // namespace

Status await_program(std::unique_ptr<program::ProgramLink>& link, Stopper& stopper) {
  MUSTER_ASSIGN(link, listen_for_program());
  while (link != nullptr && !link->is_connected())
    if (stopper.wait(kConnectLook)) return aborted("asked to stop before the program has connected");
  return {};
}

Status meet_program(program::ProgramLink* link, const Job& job, milliseconds patience) {
  if (link == nullptr)
    return invalid_argument(
        fmt::format("spec.training.program: {} is not set, so no program can reach this worker; is the "
                    "operator of this worker's "
                    "release?",
                    kSocketVariable));
  MUSTER_TRY(link->meet(world_of(job), deadline_after(patience)));
  return job.servers > 0 ? compare_optimizers(link->model().optimizer, job.training.optimizer) : Status();
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

void linger_with_program(std::unique_ptr<program::ProgramLink>& link, const Ending& ending,
                         const PodProgram::Afterwards& after) {
  if (link == nullptr) {  // the pod failed before it listened
    auto late = listen_for_program();
    if (!late || *late == nullptr) return;
    link = *std::move(late);
  }
  const bool done = ending.exit_code == 0;
  std::int64_t heard = -1;
  do {  // until the pod's end, which its containers and the operator decide
    const std::int64_t reports = link->reports();
    if (!link->is_connected() || reports == std::exchange(heard, reports)) continue;
    if (const auto accuracy = link->told_accuracy(); accuracy && done) {
      after.status.mutable_worker()->set_accuracy(*accuracy);
      after.publish();
    }
    link->end(ending.exit_code, done ? last_words_of(after.status) : ending.message, kLook);
  } while (!after.stopper.wait(kLook));
}

}  // namespace muster::worker
