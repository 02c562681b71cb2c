#pragma once  // worker/gpu/nvml_abi.h: what Muster calls of NVML, declared by itself. Source: nvml.h 12
#include <cstdint>

// abi_check.cc holds it to the vendor's header, where a build has that.
namespace muster::worker::gpu {

inline constexpr int kNvmlSuccess = 0;
inline constexpr int kNvmlTimeout = 10;
inline constexpr int kNvmlGpuIsLost = 15;
inline constexpr int kTemperatureOfGpu = 0;
inline constexpr unsigned long long kXidEvent = 8;  // nvmlEventTypeXidCriticalError
inline constexpr unsigned kUuidBytes = 96;

struct NvmlUtilization {
  unsigned gpu = 0;  // percent
  unsigned memory = 0;
};
struct NvmlMemory {
  unsigned long long total = 0;  // bytes
  unsigned long long free = 0;
  unsigned long long used = 0;
};
struct NvmlEventData {
  void* device = nullptr;
  unsigned long long type = 0;
  unsigned long long data = 0;  // the XID
  unsigned gpu_instance = 0;
  unsigned compute_instance = 0;
};

struct NvmlFunctions {
  int (*init)() = nullptr;
  int (*get_count)(unsigned* count) = nullptr;
  int (*get_handle)(unsigned index, void** device) = nullptr;
  int (*get_uuid)(void* device, char* uuid, unsigned bytes) = nullptr;
  int (*get_utilization)(void* device, NvmlUtilization* utilization) = nullptr;
  int (*get_memory)(void* device, NvmlMemory* memory) = nullptr;
  int (*get_temperature)(void* device, int sensor, unsigned* celsius) = nullptr;
  int (*get_power)(void* device, unsigned* milliwatts) = nullptr;
  int (*create_events)(void** set) = nullptr;
  int (*register_events)(void* device, unsigned long long types, void* set) = nullptr;
  int (*wait_events)(void* set, NvmlEventData* data, unsigned timeout_ms) = nullptr;
  const char* (*error_string)(int result) = nullptr;
};

}  // namespace muster::worker::gpu
