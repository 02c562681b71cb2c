// tests/common/metric_catalogue_test.cc: the catalogue follows Prometheus' rules, and docs/metrics.md says
// the same
#include "common/platform/metric_catalogue.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace muster {
namespace {

std::string type_name(MetricType type) {
  switch (type) {
    case MetricType::kCounter: return "counter";
    case MetricType::kGauge: return "gauge";
    case MetricType::kHistogram: return "histogram";
  }
  return "";
}

std::string page() {
  std::ostringstream page;
  page << "# Metrics\n\nEvery program serves them at `/metrics` on port 8472 (the operator: "
          "`--metrics-address`). This page "
          "is made from\n`common/platform/metric_catalogue.h`; `MUSTER_WRITE_DOCS=1 ./dev test` writes it "
          "anew.\n";
  std::string_view program;
  for (const Metric& metric : kMetricCatalogue) {
    if (metric.program != program) {
      program = metric.program;
      page << "\n## "
           << (program == "pod" ? "Every pod of Muster's programs" : "muster-" + std::string(program))
           << "\n| name | type | labels | meaning |\n|---|---|---|---|\n";
    }
    page << "| `" << metric.name << "` | " << type_name(metric.type) << " | " << metric.labels << " | "
         << metric.help << " |\n";
  }
  return page.str();
}

TEST(MetricCatalogue, NamesAreUniqueAndTellTheirTypeAsPrometheusAsks) {
  std::set<std::string_view> names;
  for (const Metric& metric : kMetricCatalogue) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name << " twice";
    EXPECT_EQ(metric.type == MetricType::kCounter, metric.name.ends_with("_total")) << metric.name;
    EXPECT_FALSE(metric.help.empty()) << metric.name;
    for (const char* object : {"job_name", "namespace", "pod_name", "uid"})
      EXPECT_EQ(metric.labels.find(object), std::string_view::npos) << metric.name << " names objects";
  }
}

TEST(MetricCatalogue, TheDocumentationSaysTheSame) {
  const std::string path = std::string(MUSTER_SOURCE_DIR) + "/docs/metrics.md";
  if (std::getenv("MUSTER_WRITE_DOCS") != nullptr) std::ofstream(path) << page();
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), page()) << "MUSTER_WRITE_DOCS=1 writes " << path;
}

}  // namespace
}  // namespace muster
