#pragma once  // worker/shell/gpus.h: what a worker does with what it hears of its GPUs
#include "pod/endings.h"
#include "worker/engine/train_loop.h"
#include "worker/gpu/gpu_watch.h"
#include "worker/shell/job.h"
#include "worker/shell/worker_metrics.h"

namespace muster::worker {

// To the metrics and the log; `metrics` outlives the watch.
[[nodiscard]] gpu::GpuWatch::Options watch_gpus(WorkerMetrics& metrics);
// Where the job sums by GPUs (a pod may see others, which are none of its business): a GPU that has failed
// ends the training after the step under way. `gpus` outlives the loop.
void heed_gpus(TrainLoop::Hooks& hooks, const Job& job, const gpu::GpuWatch& gpus);
// `ending`, or that the GPU has failed, whatever a failure came of it: the operator takes the pod for
// disrupted then, and the others go on without it.
[[nodiscard]] Ending ending_with_gpus(Ending ending, const Job& job, const gpu::GpuWatch& gpus);

}  // namespace muster::worker
