#pragma once  // operator/shell/operator_metrics.h: controller_runtime_* and muster_* series of the operator
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <string>

#include "common/json/fields.h"

namespace muster::op {

// Thread-safe. No series carries an object's name.
class OperatorMetrics {
 public:
  explicit OperatorMetrics(prometheus::Registry& registry);

  // controller_runtime_{max_concurrent_reconciles,active_workers,reconcile_total,reconcile_errors_total,
  // reconcile_time_seconds}{controller}, muster_reconcile_cpu_seconds{controller}; result: success, error,
  // requeue, requeue_after.
  void set_workers(const std::string& controller, int workers);
  void reconcile_started(const std::string& controller);
  void reconcile_ended(const std::string& controller, const std::string& result, double seconds,
                       double cpu_seconds);

  // muster_restarts_total, muster_disruptions_total, muster_finished_total: what one status write has
  // changed.
  void status_changed(const std::string& kind, const Json& before, const Json& after);
  void pods_created(const std::string& kind, std::int64_t count);
  // leader_election_master_status{name}: 1 if this replica works by the Lease `name`, or alone.
  void set_leader(const std::string& lease, bool leads);
  // muster_jobs{kind,phase}: how many objects there are now; phases not in `counts` are set to zero.
  void set_jobs(const std::string& kind, const std::map<std::string, int>& counts);

 private:
  prometheus::Family<prometheus::Gauge>& max_workers_;
  prometheus::Family<prometheus::Gauge>& active_workers_;
  prometheus::Family<prometheus::Counter>& reconciles_;
  prometheus::Family<prometheus::Counter>& errors_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  prometheus::Family<prometheus::Histogram>& cpu_seconds_;
  prometheus::Family<prometheus::Counter>& restarts_;
  prometheus::Family<prometheus::Counter>& disruptions_;
  prometheus::Family<prometheus::Counter>& finished_;
  prometheus::Family<prometheus::Counter>& pods_;
  prometheus::Family<prometheus::Gauge>& jobs_;
  prometheus::Family<prometheus::Gauge>& leader_;
};

}  // namespace muster::op
