// worker/gpu/nvml.cc: NVML's symbols, and its answers
#include "worker/gpu/nvml.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <thread>

#include "worker/gpu/nvml_abi.h"

namespace muster::worker::gpu {

struct Nvml::Functions : NvmlFunctions {
  template <typename Function>
  bool take(void* handle, Function*& function, const char* name) {
    // What dlsym gives for a function is its address (POSIX).
    function = reinterpret_cast<Function*>(dlsym(handle, name));  // NOLINT(*-reinterpret-cast)
    return function != nullptr;
  }
  [[nodiscard]] bool take_all(void* handle) {
    return take(handle, init, "nvmlInit_v2") && take(handle, get_count, "nvmlDeviceGetCount_v2") &&
           take(handle, get_handle, "nvmlDeviceGetHandleByIndex_v2") &&
           take(handle, get_uuid, "nvmlDeviceGetUUID") &&
           take(handle, get_utilization, "nvmlDeviceGetUtilizationRates") &&
           take(handle, get_memory, "nvmlDeviceGetMemoryInfo") &&
           take(handle, get_temperature, "nvmlDeviceGetTemperature") &&
           take(handle, get_power, "nvmlDeviceGetPowerUsage") &&
           take(handle, create_events, "nvmlEventSetCreate") &&
           take(handle, register_events, "nvmlDeviceRegisterEvents") &&
           take(handle, wait_events, "nvmlEventSetWait_v2") && take(handle, error_string, "nvmlErrorString");
  }
};

Nvml::Nvml() : functions_(std::make_unique<Functions>()) {}
Nvml::~Nvml() = default;

Result<std::unique_ptr<Nvml>> Nvml::load(const std::string& name) {
  void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return not_found(name + " is not here: no NVIDIA driver");
  std::unique_ptr<Nvml> made(new Nvml);  // NOLINT(*-owning-memory): its constructor is private
  Functions& nvml = *made->functions_;
  if (!nvml.take_all(handle)) return unavailable(name + " is too old: figures of GPUs are left out");
  const auto failed = [&](const char* call, int result) {
    return unavailable(
        fmt::format("{}: {}: {}; figures of GPUs are left out", name, call, nvml.error_string(result)));
  };
  if (const int result = nvml.init(); result != kNvmlSuccess) return failed("nvmlInit", result);
  unsigned count = 0;
  if (const int result = nvml.get_count(&count); result != kNvmlSuccess)
    return failed("nvmlDeviceGetCount", result);
  if (count > 0 && nvml.create_events(&made->events_) != kNvmlSuccess) made->events_ = nullptr;
  bool any = false;
  for (unsigned i = 0; i < count; ++i) {
    void* device = nullptr;
    std::array<char, kUuidBytes> uuid{};
    if (const int result = nvml.get_handle(i, &device); result != kNvmlSuccess)
      return failed("nvmlDeviceGetHandleByIndex", result);
    (void)nvml.get_uuid(device, uuid.data(), kUuidBytes);
    uuid.back() = '\0';
    made->devices_.push_back(device);
    made->uuids_.emplace_back(uuid.data());
    if (made->events_ != nullptr)
      any = nvml.register_events(device, kXidEvent, made->events_) == kNvmlSuccess || any;
  }
  if (!any) made->events_ = nullptr;
  return made;
}

Result<Reading> Nvml::read(std::size_t gpu) const {
  const Functions& nvml = *functions_;
  void* const device = devices_[gpu];
  Reading reading;
  NvmlUtilization utilization;
  const int first = nvml.get_utilization(device, &utilization);
  if (first == kNvmlGpuIsLost) return unavailable(fmt::format("{} is lost", uuids_[gpu]));
  if (first == kNvmlSuccess) reading.utilization = utilization.gpu / 100.0;
  NvmlMemory memory;
  if (nvml.get_memory(device, &memory) == kNvmlSuccess) {
    reading.memory_used_bytes = memory.used;
    reading.memory_bytes = memory.total;
  }
  unsigned value = 0;
  if (nvml.get_temperature(device, kTemperatureOfGpu, &value) == kNvmlSuccess)
    reading.temperature_celsius = value;
  if (nvml.get_power(device, &value) == kNvmlSuccess) reading.power_watts = value / 1000.0;
  return reading;
}

std::optional<XidEvent> Nvml::wait(std::chrono::milliseconds limit) const {
  if (events_ == nullptr) {
    std::this_thread::sleep_for(limit);
    return std::nullopt;
  }
  NvmlEventData event;
  const int result = functions_->wait_events(events_, &event, static_cast<unsigned>(limit.count()));
  if (result != kNvmlSuccess || (event.type & kXidEvent) == 0) {
    if (result != kNvmlSuccess && result != kNvmlTimeout) std::this_thread::sleep_for(limit);
    return std::nullopt;
  }
  const auto found = std::ranges::find(devices_, event.device);
  if (found == devices_.end()) return std::nullopt;
  return XidEvent{.gpu = static_cast<std::size_t>(found - devices_.begin()), .xid = event.data};
}

}  // namespace muster::worker::gpu
