// worker/shell/parameter_server.cc: a shard from the words of a job, and what is told of it
#include "worker/shell/parameter_server.h"

#include <algorithm>

#include "common/platform/log.h"
#include "common/platform/pod_memory.h"
#include "worker/parallel/shard_server.h"
#include "worker/shell/way_to_meet.h"

namespace muster::worker {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr milliseconds kStatusInterval{1000};  // its figures are for the metrics; workers tell the progress

// Of all workers together: they load data, or evaluate.
constexpr seconds kSilenceMax{600};

}  // namespace

Status ParameterServer::serve(PodFrame& frame, const Job& job, Mesh& mesh) {
  if (fingerprint_ != job.fingerprint) {
    state_ = {};
    copy_ = {};
  }
  fingerprint_ = job.fingerprint;
  const spec::Synchronization& synchronization = job.synchronization;
  const int index = job.identity.rank - job.workers();
  const MakeOptimizer make_optimizer = [spec = job.training.optimizer](std::int64_t parameters) {
    return learning::make_optimizer(spec, parameters);
  };
  std::optional<Mirrors> mirrors;
  if (job.servers > 1)
    mirrors.emplace(MirrorOptions{.shard = index,
                                  .shards = job.servers,
                                  .workers = job.workers(),
                                  .membership = job.identity.membership,
                                  .make_optimizer = make_optimizer},
                    state_, copy_);
  Shard shard({.shard = index,
               .shards = job.servers,
               .workers = job.workers(),
               .asynchronous = synchronization.is_asynchronous(),
               .max_staleness = synchronization.max_staleness,
               .staleness_aware = synchronization.staleness_aware,
               .delay_compensation = synchronization.delay_compensation,
               .make_optimizer = make_optimizer,
               .memory_max = memory_of_this_pod(),
               .codec = part_codec_of(job)},
              state_, mirrors ? &*mirrors : nullptr);
  Instant next{};
  const auto tell = [&](const ShardServer& server) {
    if (frame.stopper.requested()) shard.ask_stop();
    const Instant now = std::chrono::steady_clock::now();
    if (now < next) return;
    next = now + kStatusInterval;
    metrics_.show({.payload_bytes_sent = server.payload_bytes_sent(),
                   .payload_bytes_expected = shard.payload_bytes_expected(),
                   .replication_bytes_sent = server.replication_bytes_sent(),
                   .updates = shard.staleness()});
  };
  ShardServer server(mesh, job.workers(), shard,
                     {.timeout = seconds(synchronization.timeout_seconds),
                      .start_timeout = std::max(seconds(synchronization.timeout_seconds), kSilenceMax),
                      .updated = tell});
  frame.publish(control::v1::PHASE_RUNNING, "");
  spdlog::info("serving shard={} of {} workers={} updates={}", index, job.servers, job.workers(),
               synchronization.updates);
  Status served = server.run();
  next = {};
  tell(server);
  spdlog::info("served updates={} parameters={}", shard.updates(), state_.parameters.size());
  return served;
}

}  // namespace muster::worker
