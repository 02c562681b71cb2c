#pragma once  // common/platform/metric_families.h: registration of a metric of the catalogue
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "common/base/check.h"
#include "common/platform/metric_catalogue.h"

namespace muster {

// The family `name` with the catalogue's help text. A name that the catalogue lacks, or has with another
// type, is a programming error.
template <typename Builder>
[[nodiscard]] auto& metric_family(prometheus::Registry& registry, std::string_view name, MetricType type,
                                  Builder builder) {
  const auto* const found = std::ranges::find(kMetricCatalogue, name, &Metric::name);
  MUSTER_CHECK(found != std::end(kMetricCatalogue) && found->type == type);
  return builder.Name(std::string(name)).Help(std::string(found->help)).Register(registry);
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

}  // namespace muster
