#pragma once  // aggregator/round/device_reports.h: what devices found models to be worth on examples of their
              // own
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "aggregator/round/cohort.h"

namespace muster::agg {

inline constexpr float kNotMeasured = -1;

// Accuracies, 0..1, on examples that the device never trains on. As a checkpoint keeps it: four floats.
struct DeviceFigures {
  float examples = 0;  // 0: it has told nothing
  float global = kNotMeasured;
  float tuned = kNotMeasured;
  float personal = kNotMeasured;
  friend bool operator==(const DeviceFigures&, const DeviceFigures&) = default;
};

// The newest word of each device whose update counts. Pure. Memory: 16 bytes a client.
class DeviceReports {
 public:
  DeviceReports() = default;  // nobody measures
  // `kept`: [clients x 4] of a checkpoint, or empty: none.
  DeviceReports(std::size_t clients, std::span<const float> kept);

  void taken(ClientId client, const DeviceFigures& figures);  // with an update of the aggregate
  void sealed();                                              // a model is made of that
  void discarded();                                           // it came to nothing
  [[nodiscard]] std::vector<float> kept()
      const;  // [clients x 4], as of what is sealed; empty: nothing was told

 private:
  std::vector<DeviceFigures> last_;
  std::unordered_map<ClientId, DeviceFigures> gathered_;
};

// Over the devices that told one; each counts alike but in `weighted`.
struct DeviceSummary {
  std::string model;  // Global, FineTuned, Personal
  std::int64_t devices = 0;
  double weighted = 0;  // by examples
  double mean = 0;
  double worst_tenth = 0;  // mean of the worst tenth of them, rounded down, at least one
  double variance = 0;     // of the population
};
// `kept`: DeviceReports::kept. A model that nobody measured is not among them.
[[nodiscard]] std::vector<DeviceSummary> summaries_of(std::span<const float> kept);
// `client,examples,global,tuned,personal`, a line for each that told; what it did not measure is empty.
[[nodiscard]] std::string devices_csv(std::span<const float> kept);

}  // namespace muster::agg
