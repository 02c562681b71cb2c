// device/shell/device_metrics.cc: prometheus-cpp families behind DeviceMetrics
#include "device/shell/device_metrics.h"

#include "common/platform/metric_families.h"

namespace muster::device {
namespace {

void raise_to(prometheus::Counter& counter, double value) {
  if (value > counter.Value()) counter.Increment(value - counter.Value());
}

}  // namespace

struct DeviceMetrics::Families {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  prometheus::Gauge& clients = gauge_family(*registry, "muster_device_clients").Add({});
  prometheus::Family<prometheus::Counter>& updates = counter_family(*registry, "muster_device_updates_total");
  prometheus::Counter& sent = updates.Add({{"outcome", "sent"}});
  prometheus::Counter& failed = updates.Add({{"outcome", "failed"}});
  prometheus::Family<prometheus::Counter>& settled =
      counter_family(*registry, "muster_device_updates_settled_total");
  prometheus::Counter& counted = settled.Add({{"verdict", "counted"}});
  prometheus::Counter& uncounted = settled.Add({{"verdict", "uncounted"}});
  prometheus::Counter& partial = counter_family(*registry, "muster_device_partial_updates_total").Add({});
  prometheus::Counter& states_lost = counter_family(*registry, "muster_device_states_lost_total").Add({});
  prometheus::Family<prometheus::Counter>& bytes = counter_family(*registry, "muster_device_bytes_total");
  prometheus::Counter& bytes_sent = bytes.Add({{"direction", "sent"}});
  prometheus::Counter& bytes_received = bytes.Add({{"direction", "received"}});
};

DeviceMetrics::DeviceMetrics() : families_(std::make_unique<Families>()) {}
DeviceMetrics::~DeviceMetrics() = default;

std::shared_ptr<prometheus::Registry> DeviceMetrics::registry() const { return families_->registry; }

void DeviceMetrics::set(const control::v1::ClientProgress& progress) {
  families_->clients.Set(progress.clients());
  raise_to(families_->sent, static_cast<double>(progress.updates_sent()));
  raise_to(families_->failed, static_cast<double>(progress.updates_failed()));
  raise_to(families_->counted, static_cast<double>(progress.updates_counted()));
  raise_to(families_->uncounted, static_cast<double>(progress.updates_uncounted()));
  raise_to(families_->partial, static_cast<double>(progress.updates_partial()));
  raise_to(families_->states_lost, static_cast<double>(progress.states_lost()));
  raise_to(families_->bytes_sent, static_cast<double>(progress.bytes_sent()));
  raise_to(families_->bytes_received, static_cast<double>(progress.bytes_received()));
}

}  // namespace muster::device
