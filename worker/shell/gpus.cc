// worker/shell/gpus.cc: figures to the metrics, failures to the pod's end
#include "worker/shell/gpus.h"

#include <utility>

#include "common/platform/log.h"
#include "pod/pod_contract.h"
#include "worker/gpu/xid.h"

namespace muster::worker {

gpu::GpuWatch::Options watch_gpus(WorkerMetrics& metrics) {
  return {.read = [&metrics](std::size_t gpu, const std::string& uuid,
                             const gpu::Reading& reading) { metrics.show(gpu, uuid, reading); },
          .xid =
              [&metrics](const gpu::XidEvent& event, const std::string& uuid) {
                spdlog::error("gpu={} uuid={} {}", event.gpu, uuid, gpu::xid_words(event.xid));
                metrics.show_xid(event.gpu, uuid, event.xid);
              },
          .log = [](const std::string& line) { spdlog::info("{}", line); }};
}

void heed_gpus(TrainLoop::Hooks& hooks, const Job& job, const gpu::GpuWatch& gpus) {
  if (!job.nccl) return;
  hooks.task_failure = [&gpus, others = std::move(hooks.task_failure)]() -> Status {
    if (auto failed = gpus.failure()) return internal_error(*std::move(failed));
    return others();
  };
}

Ending ending_with_gpus(Ending ending, const Job& job, const gpu::GpuWatch& gpus) {
  if (ending.exit_code == 0 || !job.nccl) return ending;
  if (auto failed = gpus.failure()) return {.exit_code = kExitRetry, .message = *std::move(failed)};
  return ending;
}

}  // namespace muster::worker
