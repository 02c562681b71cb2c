#pragma once  // worker/shell/job.h: an assignment, as a worker takes it
#include <string>
#include <vector>

#include "common/spec/distributed_job.h"
#include "pod/endings.h"
#include "proto/control.pb.h"
#include "worker/collective/mesh_collective.h"
#include "worker/transport/connector.h"

namespace muster::worker {

struct Job {
  std::string name;
  MeshIdentity identity{};
  std::vector<std::string> peers{};
  spec::Training training{};
  spec::Synchronization synchronization{};
  bool nccl = false;                   // the ranks' GPUs sum; `topology` is that of all else
  std::optional<Topology> topology{};  // of the ranks that train; with servers, of what they share beside
  int servers = 0;                     // the last ranks
  int parts = 0;                       // of the examples, where each rank has its own
  spec::Compression compression{};
  spec::Security security{};
  MembershipKey key{};  // of a job of one worker: zeros
  std::string fingerprint{};
  [[nodiscard]] int workers() const { return identity.size - servers; }
  // Every rank that trains has all parameters and all of the optimizer's state, the same bits.
  [[nodiscard]] bool has_replicas() const {
    return servers == 0 && !synchronization.is_gossip() && synchronization.local_steps == 1;
  }
  [[nodiscard]] bool is_server() const { return identity.rank >= workers(); }
};

// Errors: kInvalidArgument names what is wrong and the remedy.
[[nodiscard]] Result<Job> parse(const control::v1::Assignment& assignment);

// Where the pod keeps its checkpoints; with models of their own, each has a folder. REQUIRES: a checkpoint.
[[nodiscard]] std::string checkpoint_folder(const Job& job, std::int64_t pod_index);

// The process's own paths in place of the manifest's. Not part of parse: a slow volume would hold up
// Configure.
[[nodiscard]] Status permit_paths(const control::v1::Assignment& assignment, spec::Training& training);

// Of an error of all ranks: nothing is wrong with this one, so it can go on beside others.
[[nodiscard]] bool may_go_on(const Error& error);
// Of a rank that goes: the others end as it does where a restart would meet the same; else a restart may help
// them. `newest`: membership that it has heard of.
[[nodiscard]] Status status_for_peers(const Ending& ending, const Job& job, std::int64_t newest);

}  // namespace muster::worker
