#pragma once  // common/platform/gpu_metrics.h: the metrics of a worker's GPUs, and with them all there are
#include <algorithm>
#include <array>

#include "common/platform/metric_catalogue.h"

namespace muster {

// By NVML (worker/gpu), of each GPU that the worker sees; none without a driver.
inline constexpr Metric kGpuMetrics[] = {
    {"worker", "muster_gpu_utilization_ratio", MetricType::kGauge, "gpu, uuid",
     "Part of the time in which a kernel ran on this GPU of the pod, 0 to 1, by NVML"},
    {"worker", "muster_gpu_memory_used_bytes", MetricType::kGauge, "gpu, uuid",
     "Memory of this GPU that is in use"},
    {"worker", "muster_gpu_memory_bytes", MetricType::kGauge, "gpu, uuid", "Memory of this GPU"},
    {"worker", "muster_gpu_temperature_celsius", MetricType::kGauge, "gpu, uuid", "Temperature of this GPU"},
    {"worker", "muster_gpu_power_watts", MetricType::kGauge, "gpu, uuid", "Power that this GPU draws"},
    {"worker", "muster_gpu_last_xid", MetricType::kGauge, "gpu, uuid",
     "Number of the last XID error of this GPU since the worker began; 0: none"},
};

// Those of a worker beside its others.
inline constexpr auto kAllMetrics = [] {
  std::array<Metric, std::size(kMetricCatalogue) + std::size(kGpuMetrics)> all{};
  const auto* const behind = std::ranges::find(kMetricCatalogue, "aggregator", &Metric::program);
  auto* next = std::ranges::copy(std::begin(kMetricCatalogue), behind, all.begin()).out;
  next = std::ranges::copy(kGpuMetrics, next).out;
  std::ranges::copy(behind, std::end(kMetricCatalogue), next);
  return all;
}();

}  // namespace muster
