#pragma once  // common/spec/distributed_job.h: spec of a DistributedJob: one reader for operator and pods
#include "common/spec/run_policy.h"
#include "common/spec/training.h"

namespace muster::spec {

// Names of pods stay within 63 characters; the CRD says the same.
inline constexpr std::int64_t kWorkersMax = 1000;

struct Rendezvous {                  // how the processes of a user's own program find each other
  std::int64_t master_port = 29500;  // as torch.distributed has it by custom
  std::optional<std::int64_t> processes_per_node;  // absent: one for each GPU of the container, at least one
  friend bool operator==(const Rendezvous&, const Rendezvous&) = default;
};

struct Workers {
  std::int64_t replicas = 1;
  // With spec.training: it goes on while so many are left, and is scaled to at most so many.
  std::optional<std::int64_t> min_replicas;  // absent: 1
  std::optional<std::int64_t> max_replicas;
  Rendezvous rendezvous;      // without spec.training
  std::string topology_key;   // of nodes, such as topology.kubernetes.io/zone: all workers share its value
  std::string shared_memory;  // a quantity: /dev/shm is in memory, and that large
  Json pod_template;          // a PodTemplateSpec, as the user wrote it; null: none
  friend bool operator==(const Workers&, const Workers&) = default;
};

struct DistributedJobSpec {
  bool suspend = false;
  std::string managed_by;     // absent: this operator; see run_policy.h
  std::string gang = "Auto";  // scheduling.gang: Auto | None | Native | SchedulerPlugins | Volcano
  std::string success_policy = "AllWorkers";  // AllWorkers | Rank0: whose success is the job's
  Workers workers;
  std::optional<Training> training;  // absent: the containers bring their own program
  Synchronization synchronization;
  Compression compression;
  Security security;
  RunPolicy run_policy;
  // runPolicy.restart InPlace: muster-exec starts the commands of the containers, again and again.
  [[nodiscard]] bool restarts_in_place() const { return !training && run_policy.restart == "InPlace"; }
  friend bool operator==(const DistributedJobSpec&, const DistributedJobSpec&) = default;
};

// Strict: the error names the field's path. Pod templates are not looked into.
[[nodiscard]] Result<DistributedJobSpec> distributed_job_from_json(const Json& spec);

// The spec as its pods get it: as it stands in the object, less what is the operator's alone and may change
// at any time (suspend, workers, runPolicy and their kin), and less what is at its default, so that a pod of
// the last release reads it unless the job uses what that one cannot do.
[[nodiscard]] Json distributed_job_for_pods(const Json& spec);

}  // namespace muster::spec
