#pragma once  // common/platform/process_metrics.h: what a process costs, under the names of Prometheus' own
              // clients
#include <prometheus/metric_family.h>

#include <ctime>
#include <vector>

namespace muster {

// process_{resident_memory_bytes,cpu_seconds_total,open_fds,start_time_seconds}, as /proc says now; without
// those that it does not say.
[[nodiscard]] std::vector<prometheus::MetricFamily> process_families();

[[nodiscard]] double clock_seconds(clockid_t clock);  // as clock_gettime has it

}  // namespace muster
