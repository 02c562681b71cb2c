// operator/shell/object_series.cc: phase, reason and restarts of each object that has not ended
#include "operator/shell/object_series.h"

#include "common/json/access.h"
#include "common/platform/metric_families.h"
#include "common/spec/run_policy.h"
#include "kube/request.h"
#include "operator/api/status.h"

namespace muster::op {
namespace {

enum Family : std::size_t { kInfo, kRestarts, kRestartsMax, kPercent };

void add_gauge(prometheus::MetricFamily& family, std::vector<prometheus::ClientMetric::Label> labels,
               double value) {
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  metric.label = std::move(labels);
  metric.gauge.value = value;
}

}  // namespace

std::vector<prometheus::MetricFamily> object_families() {
  return {collected_family("muster_job_info"), collected_family("muster_job_restarts"),
          collected_family("muster_job_restarts_max"), collected_family("muster_job_progress_percent")};
}

void add_series(std::vector<prometheus::MetricFamily>& families, const std::string& kind,
                const Json& object) {
  const auto found = object.find("status");
  const api::JobStatus status = api::status_from_json(found == object.end() ? Json() : *found);
  if (status.finished() || spec::managed_elsewhere(member(object, "spec"))) return;
  std::vector<prometheus::ClientMetric::Label> labels{{"namespace", meta_text(object, "namespace")},
                                                      {"job_name", meta_text(object, "name")},
                                                      {"job_kind", kind}};
  if (status.restarts > 0) {
    const std::int64_t most =
        integer(member(object, "spec", "runPolicy", "maxRestarts"), spec::RunPolicy{}.max_restarts);
    add_gauge(families[kRestarts], labels, static_cast<double>(status.restarts));
    add_gauge(families[kRestartsMax], labels, static_cast<double>(most));
  }
  if (const Json& percent = member(status.progress, "percent"); percent.is_number_integer())
    add_gauge(families[kPercent], labels, static_cast<double>(integer(percent)));
  const api::Condition* const pods =
      api::find_condition(status.conditions, "PodsReady");  // as the column Reason
  labels.push_back({"phase", status.phase.empty() ? "Pending" : status.phase});
  labels.push_back({"reason", pods == nullptr ? "" : pods->reason});
  add_gauge(families[kInfo], std::move(labels), 1);
}

void ObjectSeries::watch(const ClusterCache* cache) {
  const MutexLock lock(mutex_);
  cache_ = cache;
}

std::vector<prometheus::MetricFamily> ObjectSeries::collect() const {
  std::vector<prometheus::MetricFamily> families = object_families();
  const MutexLock lock(mutex_);
  if (cache_ == nullptr) return families;
  for (const kube::Resource* resource : {&kube::kDistributedJobs, &kube::kFederatedRounds})
    for (const auto& object : cache_->list(*resource)) add_series(families, resource->kind, *object);
  return families;
}

}  // namespace muster::op
