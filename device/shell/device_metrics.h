#pragma once  // device/shell/device_metrics.h: a client pod's entries in /metrics
#include <memory>

#include "proto/control.pb.h"

namespace prometheus {
class Registry;
}

namespace muster::device {

class DeviceMetrics {  // one thread
 public:
  DeviceMetrics();
  ~DeviceMetrics();
  DeviceMetrics(const DeviceMetrics&) = delete;
  DeviceMetrics& operator=(const DeviceMetrics&) = delete;
  [[nodiscard]] std::shared_ptr<prometheus::Registry> registry() const;
  void set(const control::v1::ClientProgress& progress);  // counters go up to it

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace muster::device
