#pragma once  // aggregator/shell/device_report.h: devices.csv, and what status tells of devices' own examples
#include <filesystem>
#include <span>
#include <vector>

#include "aggregator/round/device_reports.h"
#include "aggregator/shell/aggregator_metrics.h"
#include "common/base/result.h"
#include "common/platform/mutex.h"
#include "proto/control.pb.h"

namespace muster::agg {

// With spec.personalization, after each round that is saved. Thread-safe; one writer.
class DeviceReport {
 public:
  // `folder`: spec.aggregator.storage.path; empty: nothing is written.
  DeviceReport(std::filesystem::path folder, AggregatorMetrics& metrics)
      : folder_(std::move(folder)), metrics_(metrics) {}
  // `kept`: DeviceReports::kept. The file appears whole. Errors: as files have them.
  [[nodiscard]] Status update(std::span<const float> kept);
  void tell(control::v1::AggregatorProgress& progress) const;

 private:
  const std::filesystem::path folder_;
  AggregatorMetrics& metrics_;
  mutable Mutex mutex_;
  std::vector<DeviceSummary> summaries_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::agg
