#pragma once  // common/platform/metric_families.h: registration of a metric of the catalogue
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "common/base/check.h"
#include "common/platform/gpu_metrics.h"

namespace muster {

// A name that the catalogue lacks is a programming error.
[[nodiscard]] inline const Metric& metric_of(std::string_view name) {
  const auto* const found = std::ranges::find(kAllMetrics, name, &Metric::name);
  MUSTER_CHECK(found != std::end(kAllMetrics));
  return *found;
}

// The family `name` with the catalogue's help text; it must have that type there.
template <typename Builder>
[[nodiscard]] auto& metric_family(prometheus::Registry& registry, std::string_view name, MetricType type,
                                  Builder builder) {
  const Metric& metric = metric_of(name);
  MUSTER_CHECK(metric.type == type);
  return builder.Name(std::string(name)).Help(std::string(metric.help)).Register(registry);
}

[[nodiscard]] inline auto& counter_family(prometheus::Registry& registry, std::string_view name) {
  return metric_family(registry, name, MetricType::kCounter, prometheus::BuildCounter());
}
[[nodiscard]] inline auto& gauge_family(prometheus::Registry& registry, std::string_view name) {
  return metric_family(registry, name, MetricType::kGauge, prometheus::BuildGauge());
}
[[nodiscard]] inline auto& histogram_family(prometheus::Registry& registry, std::string_view name) {
  return metric_family(registry, name, MetricType::kHistogram, prometheus::BuildHistogram());
}
// For a counter or gauge that is made at each scrape: its family, without a series yet.
[[nodiscard]] inline prometheus::MetricFamily collected_family(std::string_view name) {
  const Metric& metric = metric_of(name);
  return {
      std::string(name),
      std::string(metric.help),
      metric.type == MetricType::kCounter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge,
      {}};
}

}  // namespace muster
