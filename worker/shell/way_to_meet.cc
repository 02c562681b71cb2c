// worker/shell/way_to_meet.cc: all-reduce, parameter servers or gossip
#include "worker/shell/way_to_meet.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/random.h"
#include "common/platform/log.h"
#include "learning/partition.h"
#include "worker/parallel/data_parallel.h"
#include "worker/parallel/gossip.h"
#include "worker/parallel/parameter_client.h"
#include "worker/program/program_model.h"
#include "worker/program/same_model.h"

namespace muster::worker {
namespace {

constexpr std::size_t kProgramBuckets = 16;  // at most, of a large model

Result<WayToMeet> by_servers(const Job& job, Meeting& meeting, std::int64_t parameters,
                             const MeetingTimes& times, bool shared_gradient) {
  if (parameters < job.servers)
    return invalid_argument(fmt::format(
        "spec.synchronization.parameterServers.shards: {} servers cannot share the {} parameters of "
        "the model; lower it",
        job.servers, parameters));
  auto client = std::make_unique<ParameterClient>(
      meeting.mesh(), meeting.workers(),
      ParameterClient::Options{
          .parameters = parameters,
          .shards = job.servers,
          .timeout = times.timeout,
          .start_timeout = times.start_timeout,
          .make_optimizer = [spec = job.training.optimizer](
                                std::int64_t count) { return learning::make_optimizer(spec, count); },
          .codec = part_codec_of(job),
          .shared_gradient = shared_gradient});
  WayToMeet made;
  if (job.synchronization.is_asynchronous()) made.asynchronous = client.get();
  made.synchronizer = std::move(client);
  return made;
}

learning::OuterOptions outer_of(const Job& job) {
  const spec::Outer outer = job.synchronization.outer.value_or(spec::Outer{});
  const auto rule = outer.optimizer == "Nesterov" ? learning::OuterRule::kNesterov
                    : outer.beta() > 0            ? learning::OuterRule::kMomentum
                                                  : learning::OuterRule::kAdd;
  return {.rule = rule, .learning_rate = outer.rate(), .momentum = outer.beta()};
}

spec::Gossip gossip_of(const Job& job) { return job.synchronization.gossip.value_or(spec::Gossip{}); }

}  // namespace

std::optional<PartCodecOptions> part_codec_of(const Job& job) {
  const auto codec = codec_options_of(job.compression);
  if (!codec) return std::nullopt;
  // Ranks that shared a seed would round alike, and their errors would add up.
  return PartCodecOptions{.codec = *codec,
                          .error_feedback = job.compression.error_feedback,
                          .seed = hash_key(static_cast<std::uint64_t>(job.training.seed),
                                           static_cast<std::uint64_t>(job.identity.rank))};
}

Result<WayToMeet> make_way_to_meet(const Job& job, Meeting& meeting, learning::Model& model,
                                   const MeetingTimes& times, program::ProgramLink* program) {
  const std::int64_t parameters = model.parameter_count();
  const auto seed = static_cast<std::uint64_t>(job.training.seed);
  if (program != nullptr)
    MUSTER_TRY(program::compare_models(meeting.workers(), program->model().tensors,
                                       deadline_after(times.start_timeout)));
  if (job.servers > 0) return by_servers(job, meeting, parameters, times, program != nullptr);
  WayToMeet made;
  if (program != nullptr) {
    made.optimizer = std::make_unique<program::ProgramOptimizer>(*program);
  } else {
    made.optimizer = learning::make_optimizer(job.training.optimizer, parameters);
  }
  if (job.synchronization.is_gossip()) {
    made.synchronizer = std::make_unique<Gossip>(
        meeting.workers(), *made.optimizer,
        Gossip::Options{.graph = gossip_graph_named(gossip_of(job).graph).value_or(GossipGraph::kRing),
                        .seed = seed,
                        .timeout = times.timeout});
    return made;
  }
  MUSTER_ASSIGN(made.gradient_sum, make_gradient_sum(job.compression, meeting.workers(), model.tensors(),
                                                     {.timeout = times.timeout, .seed = seed}));
  // A program shares its gradient's memory, and codecs look at values more than once.
  const bool compressed = job.compression.by_codec() || job.compression.low_rank > 0;
  if (program != nullptr && compressed) made.gradient_sum = copying_sum(std::move(made.gradient_sum));
  if (job.synchronization.local_steps > 1) {
    auto local = std::make_unique<LocalSteps>(
        DataParallel::Parts{meeting.workers(), *made.gradient_sum, *made.optimizer},
        LocalSteps::Options{.steps = job.synchronization.local_steps,
                            .parameters = static_cast<std::size_t>(parameters),
                            .outer = outer_of(job),
                            .timeout = times.timeout});
    made.local = local.get();
    made.synchronizer = std::move(local);
    return made;
  }
  // Codecs have buckets of their own.
  std::vector<Bucket> plan;
  BucketSizes sizes;
  // A program may tell of no part before the end, and then nothing hides the latency of a sum: a few are
  // enough for those that do.
  if (program != nullptr)
    sizes.elements = std::max(sizes.elements, static_cast<std::size_t>(parameters) / kProgramBuckets);
  if (!compressed) plan = plan_buckets(model.tensors(), sizes);
  made.synchronizer = std::make_unique<DataParallel>(
      DataParallel::Parts{meeting.workers(), *made.gradient_sum, *made.optimizer}, times.timeout,
      std::move(plan), program != nullptr ? DataParallel::Memory::kShared : DataParallel::Memory::kOwn);
  return made;
}

Result<std::optional<OwnExamples>> own_examples_of(const Job& job, std::int64_t index,
                                                   const learning::Dataset& data) {
  if (!job.synchronization.is_gossip()) return std::nullopt;
  if (index >= job.parts)
    return invalid_argument(fmt::format(
        "worker {} has no part of examples that are divided among {}: spec.workers.maxReplicas, or "
        "replicas where that is absent, says among how many; use another object",
        index, job.parts));
  const auto seed = static_cast<std::uint64_t>(job.training.seed);
  const spec::Partition partition = gossip_of(job).partition;
  MUSTER_ASSIGN(auto parts, learning::partition_examples(data, partition, job.parts, seed));
  auto& mine = parts[static_cast<std::size_t>(index)];
  spdlog::info("own examples={} of={} partition={}", mine.size(), data.train.size(), partition.kind);
  return OwnExamples(std::move(mine), hash_key(seed, static_cast<std::uint64_t>(index)));
}

}  // namespace muster::worker
