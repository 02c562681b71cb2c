#pragma once  // worker/shell/parameter_server.h: a pod that holds a part of the parameters
#include <string>

#include "pod/pod_life.h"
#include "worker/parallel/shard.h"
#include "worker/shell/job.h"
#include "worker/shell/worker_metrics.h"
#include "worker/transport/mesh.h"

namespace muster::worker {

// Of the process: its part, and the copy of the part that it mirrors, outlive memberships.
class ParameterServer {
 public:
  explicit ParameterServer(WorkerMetrics& metrics) : metrics_(metrics) {}

  // Serves the workers of a membership until they are done. Errors: ShardServer's.
  [[nodiscard]] Status serve(PodFrame& frame, const Job& job, Mesh& mesh);

 private:
  WorkerMetrics& metrics_;
  std::string fingerprint_;  // of the training that they belong to
  ShardState state_;
  ShardState copy_;
};

}  // namespace muster::worker
