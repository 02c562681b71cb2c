// tests/common/metric_catalogue_test.cc: the catalogue follows Prometheus' rules
#include "common/platform/gpu_metrics.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>

namespace muster {
namespace {

TEST(MetricCatalogue, NamesAreUniqueAndTellTheirTypeAsPrometheusAsks) {
  std::set<std::string_view> names;
  for (const Metric& metric : kAllMetrics) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name << " twice";
    EXPECT_EQ(metric.type == MetricType::kCounter, metric.name.ends_with("_total")) << metric.name;
    EXPECT_FALSE(metric.help.empty()) << metric.name;
    if (metric.type == MetricType::kGauge && metric.name.starts_with("muster_job_")) continue;
    const std::string labels = " " + std::string(metric.labels) + ",";
    for (const std::string object : {"job_name", "namespace", "pod_name", "uid"})
      EXPECT_EQ(labels.find(" " + object + ","), std::string::npos) << metric.name << " names objects";
  }
}

}  // namespace
}  // namespace muster
