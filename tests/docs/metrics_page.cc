// tests/docs/metrics_page.cc: prints docs/metrics.md, from the metrics catalogue
#include <cstdio>
#include <string>

#include "common/platform/gpu_metrics.h"

namespace muster {
namespace {

constexpr std::string_view kHead =
    "# Metrics\n\n"
    "Every program serves them at `/metrics` on port 8472 (the operator: `--metrics-address`). "
    "[dashboards/](../dashboards/README.md) asks for them.\n"
    "This page is made from `common/platform/metric_catalogue.h` by `./dev docs`.\n";

std::string heading(std::string_view program) {
  if (program == "every") return "Every program";
  if (program == "pod") return "Every pod of Muster's programs";
  return "muster-" + std::string(program);
}

std::string_view type_name(MetricType type) {
  switch (type) {
    case MetricType::kCounter: return "counter";
    case MetricType::kGauge: return "gauge";
    case MetricType::kHistogram: return "histogram";
  }
  return "";
}

std::string page() {
  std::string page(kHead);
  std::string_view program;
  for (const Metric& metric : kAllMetrics) {
    if (metric.program != program) {
      program = metric.program;
      page.append("\n## ").append(heading(program)).append("\n| name | type | labels | meaning |\n");
      page.append("|---|---|---|---|\n");
    }
    page.append("| `").append(metric.name).append("` | ").append(type_name(metric.type));
    page.append(" | ").append(metric.labels).append(" | ").append(metric.help).append(" |\n");
  }
  return page;
}

}  // namespace
}  // namespace muster

int main() { return std::fputs(muster::page().c_str(), stdout) < 0 ? 1 : 0; }
