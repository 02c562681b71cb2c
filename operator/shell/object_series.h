#pragma once  // operator/shell/object_series.h: the series of /metrics that are about one object each
#include <prometheus/metric_family.h>

#include <string>
#include <vector>

#include "common/platform/mutex.h"
#include "operator/shell/cluster_cache.h"

namespace muster::op {

// muster_job_info, muster_job_restarts, muster_job_restarts_max, muster_job_progress_percent, without series
// yet.
[[nodiscard]] std::vector<prometheus::MetricFamily> object_families();
// Adds what there is to say of `object`: nothing, once it has ended.
void add_series(std::vector<prometheus::MetricFamily>& families, const std::string& kind, const Json& object);

// Made at each scrape from the cache, so that an object that is gone has no series. Thread-safe.
class ObjectSeries {
 public:
  // nullptr: no more; when it returns, the cache before is not read any more.
  void watch(const ClusterCache* cache);
  [[nodiscard]] std::vector<prometheus::MetricFamily> collect() const;

 private:
  mutable Mutex mutex_;
  const ClusterCache* cache_ MUSTER_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace muster::op
