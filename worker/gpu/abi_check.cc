// worker/gpu/abi_check.cc: holds nvml_abi.h to the vendor's header, where a build has it; no code
#include <nvml.h>

#include <cstddef>

#include "worker/gpu/nvml_abi.h"

namespace muster::worker::gpu {
namespace {

static_assert(kNvmlSuccess == NVML_SUCCESS && kNvmlTimeout == NVML_ERROR_TIMEOUT);
static_assert(kNvmlGpuIsLost == NVML_ERROR_GPU_IS_LOST && kTemperatureOfGpu == NVML_TEMPERATURE_GPU);
static_assert(kXidEvent == nvmlEventTypeXidCriticalError && kUuidBytes >= NVML_DEVICE_UUID_V2_BUFFER_SIZE);
static_assert(sizeof(NvmlUtilization) == sizeof(nvmlUtilization_t) &&
              sizeof(NvmlMemory) == sizeof(nvmlMemory_t));
static_assert(offsetof(NvmlMemory, used) == offsetof(nvmlMemory_t, used));
static_assert(sizeof(NvmlEventData) == sizeof(nvmlEventData_t));
static_assert(offsetof(NvmlEventData, type) == offsetof(nvmlEventData_t, eventType));
static_assert(offsetof(NvmlEventData, data) == offsetof(nvmlEventData_t, eventData));

}  // namespace
}  // namespace muster::worker::gpu
