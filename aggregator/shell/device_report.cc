// aggregator/shell/device_report.cc: one file, and at most three summaries
#include "aggregator/shell/device_report.h"

#include <array>
#include <string>
#include <utility>

#include "learning/atomic_file.h"

namespace muster::agg {

Status DeviceReport::update(std::span<const float> kept) {
  std::vector<DeviceSummary> summaries = summaries_of(kept);
  if (summaries.empty()) return {};
  for (const DeviceSummary& it : summaries)
    metrics_.set_devices(
        it.model,
        {.weighted = it.weighted, .mean = it.mean, .worst_tenth = it.worst_tenth, .variance = it.variance});
  {
    const MutexLock lock(mutex_);
    summaries_ = std::move(summaries);
  }
  if (folder_.empty()) return {};
  const std::string text = devices_csv(kept);
  const std::array<std::span<const std::byte>, 1> parts{std::as_bytes(std::span(text))};
  return learning::write_atomically(folder_ / "devices.csv", parts);
}

void DeviceReport::tell(control::v1::AggregatorProgress& progress) const {
  const MutexLock lock(mutex_);
  for (const DeviceSummary& it : summaries_) {
    control::v1::DeviceAccuracy& told = *progress.add_devices();
    told.set_model(it.model);
    told.set_devices(it.devices);
    told.set_weighted(it.weighted);
    told.set_mean(it.mean);
    told.set_worst_tenth(it.worst_tenth);
    told.set_variance(it.variance);
  }
}

}  // namespace muster::agg
