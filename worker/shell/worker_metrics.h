#pragma once  // worker/shell/worker_metrics.h: what a worker shows on /metrics
#include <memory>

#include "common/base/result.h"
#include "common/platform/metrics.h"
#include "worker/engine/train_loop.h"

namespace muster::worker {

class WorkerMetrics {
 public:
  // Serves on ip:port; `healthy` and `ready` answer the probes.
  [[nodiscard]] static Result<std::unique_ptr<WorkerMetrics>> start(MetricsServer::Options options);
  virtual ~WorkerMetrics() = default;
  virtual void show(const Progress& progress) = 0;  // from one thread
};

}  // namespace muster::worker
