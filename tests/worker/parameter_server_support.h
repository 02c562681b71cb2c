#pragma once  // tests/worker/parameter_server_support.h: workers and parameter servers of one membership, on
              // threads
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "tests/worker/mesh_support.h"
#include "worker/collective/mesh_part.h"
#include "worker/collective/solo.h"
#include "worker/engine/train_loop.h"
#include "worker/parallel/parameter_client.h"
#include "worker/parallel/shard_server.h"

namespace muster::worker::test {

struct ServedJob {
  int workers = 1;
  bool asynchronous = false;
  std::optional<std::int64_t> max_staleness{};
  std::int64_t membership = 1;
  std::uint64_t seed = 1;  // of the mesh
  std::function<std::unique_ptr<learning::Model>(int worker)> make_model;
  std::function<std::unique_ptr<learning::Optimizer>(std::int64_t parameters)> make_optimizer;
  const spec::Training& training;
  const learning::Dataset& data;
  // By worker; `abort` ends the membership.
  std::function<TrainLoop::Hooks(int worker, const std::function<void()>& abort)> hooks =
      [](int, const std::function<void()>&) { return TrainLoop::Hooks{}; };
  CheckpointWriter* writer = nullptr;  // of worker 0
  std::optional<PartCodecOptions> codec{};
};

struct ServedOutcome {
  ServedOutcome() = default;
  ServedOutcome(std::size_t workers_of, std::size_t servers_of)
      : workers(workers_of),
        servers(servers_of),
        server_bytes(servers_of),
        server_bytes_expected(servers_of),
        replication_bytes(servers_of),
        progress(workers_of) {}
  std::vector<std::optional<Result<TrainLoop::Outcome>>> workers;
  std::vector<Status> servers;
  std::vector<std::uint64_t> server_bytes;  // payload
  std::vector<std::uint64_t> server_bytes_expected;
  std::vector<std::uint64_t> replication_bytes;
  std::vector<Progress> progress;  // the last of each worker
};

// Trains from `learnt`, by worker, which is what they have learnt afterwards; the servers keep `states`, and
// of the server before each `copies`.
inline ServedOutcome train_served(const ServedJob& job, std::vector<Learnt>& learnt,
                                  std::vector<ShardState>& states, std::vector<ShardState>& copies) {
  const int shards = static_cast<int>(states.size());
  auto meshes = memory_mesh(job.workers + shards, job.seed);
  ServedOutcome made(learnt.size(), states.size());
  const auto serve = [&](int shard) {
    const auto index = static_cast<std::size_t>(shard);
    Mesh& mesh = *meshes[static_cast<std::size_t>(job.workers) + index];
    std::optional<Mirrors> mirrors;
    if (shards > 1)
      mirrors.emplace(MirrorOptions{.shard = shard,
                                    .shards = shards,
                                    .workers = job.workers,
                                    .membership = job.membership,
                                    .make_optimizer = job.make_optimizer},
                      states[index], copies[index]);
    Shard machine({.shard = shard,
                   .shards = shards,
                   .workers = job.workers,
                   .asynchronous = job.asynchronous,
                   .max_staleness = job.max_staleness,
                   .make_optimizer = job.make_optimizer,
                   .codec = job.codec},
                  states[index], mirrors ? &*mirrors : nullptr);
    ShardServer server(mesh, job.workers, machine, {.timeout = std::chrono::seconds(30)});
    made.servers[index] = server.run();
    made.server_bytes[index] = server.payload_bytes_sent();
    made.server_bytes_expected[index] = machine.payload_bytes_expected();
    made.replication_bytes[index] = server.replication_bytes_sent();
  };
  const auto work = [&](int worker) {
    const auto index = static_cast<std::size_t>(worker);
    Mesh& mesh = *meshes[index];
    std::unique_ptr<Collective> group = std::make_unique<Solo>();
    if (job.workers > 1)
      group =
          std::make_unique<MeshCollective>(std::make_unique<MeshPart>(mesh, job.workers), Topology::kDirect);
    const auto model = job.make_model(worker);
    ParameterClient client(mesh, *group,
                           {.parameters = model->parameter_count(),
                            .shards = shards,
                            .timeout = std::chrono::seconds(30),
                            .make_optimizer = job.make_optimizer,
                            .codec = job.codec});
    TrainLoop::Hooks hooks = job.hooks(worker, [&mesh] { mesh.abort(); });
    hooks.now = [] { return Instant{}; };  // no time passes, so that states are equal
    const auto told = hooks.progress;
    hooks.progress = [&, told](const Progress& progress, const History& history) {
      made.progress[index] = progress;
      told(progress, history);
    };
    TrainLoop loop({.collective = *group,
                    .model = *model,
                    .synchronizer = client,
                    .training = job.training,
                    .data = job.data,
                    .asynchronous = job.asynchronous ? &client : nullptr,
                    .writer = worker == 0 ? job.writer : nullptr},
                   {.membership = job.membership, .timeout = std::chrono::seconds(30)}, hooks);
    auto outcome = loop.run(std::move(learnt[index]));
    learnt[index] = {};
    if (!outcome) learnt[index] = loop.learnt();
    if (!outcome || outcome->stopped) mesh.abort();  // as a worker that leaves ends the membership
    made.workers[index] = std::move(outcome);
  };
  on_all_ranks(job.workers + shards,
               [&](int rank) { rank < job.workers ? work(rank) : serve(rank - job.workers); });
  return made;
}

inline ServedOutcome train_served(const ServedJob& job, std::vector<Learnt>& learnt,
                                  std::vector<ShardState>& states) {
  std::vector<ShardState> copies(states.size());
  return train_served(job, learnt, states, copies);
}

}  // namespace muster::worker::test
