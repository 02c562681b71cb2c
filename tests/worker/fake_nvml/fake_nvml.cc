// tests/worker/fake_nvml/fake_nvml.cc: NVML's symbols for one GPU that does not exist. MUSTER_FAKE_NVML says
// what it does: "xid=79" tells that error at the third wait, "xid=79@FILE" once that file names the pod's
// address, "lost" loses the GPU, "broken" does not initialise, "mute" knows no events
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "worker/gpu/nvml_abi.h"

using muster::worker::gpu::kNvmlGpuIsLost;
using muster::worker::gpu::kNvmlSuccess;
using muster::worker::gpu::kNvmlTimeout;
using muster::worker::gpu::kXidEvent;
using muster::worker::gpu::NvmlEventData;
using muster::worker::gpu::NvmlMemory;
using muster::worker::gpu::NvmlUtilization;

namespace {

constexpr int kNotSupported = 3;
int the_gpu = 0;
int waits = 0;

std::string told() {
  const char* const text = std::getenv("MUSTER_FAKE_NVML");  // NOLINT(concurrency-mt-unsafe): set before
  return text == nullptr ? "" : text;
}

}  // namespace

// NOLINTBEGIN(readability-identifier-naming): names of a C library
#pragma GCC visibility push(default)
extern "C" {

int nvmlInit_v2() {
  waits = 0;
  return told() == "broken" ? 9 : kNvmlSuccess;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 1;
  return kNvmlSuccess;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned /*index*/, void** device) {
  *device = &the_gpu;
  return kNvmlSuccess;
}
int nvmlDeviceGetUUID(void* /*device*/, char* uuid, unsigned bytes) {
  std::strncpy(uuid, "GPU-fake-7", bytes);
  return kNvmlSuccess;
}
int nvmlDeviceGetUtilizationRates(void* /*device*/, NvmlUtilization* utilization) {
  utilization->gpu = 42;
  return told() == "lost" ? kNvmlGpuIsLost : kNvmlSuccess;
}
int nvmlDeviceGetMemoryInfo(void* /*device*/, NvmlMemory* memory) {
  *memory = {.total = 1ULL << 34, .free = (1ULL << 34) - 1000, .used = 1000};
  return kNvmlSuccess;
}
int nvmlDeviceGetTemperature(void* /*device*/, int /*sensor*/, unsigned* celsius) {
  *celsius = 61;
  return kNvmlSuccess;
}
int nvmlDeviceGetPowerUsage(void* /*device*/, unsigned* /*milliwatts*/) { return kNotSupported; }
int nvmlEventSetCreate(void** set) {
  *set = &the_gpu;
  return kNvmlSuccess;
}
int nvmlDeviceRegisterEvents(void* /*device*/, unsigned long long /*types*/, void* /*set*/) {
  return told() == "mute" ? kNotSupported : kNvmlSuccess;
}
int nvmlEventSetWait_v2(void* /*set*/, NvmlEventData* data, unsigned timeout_ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(timeout_ms));
  const std::string wanted = told();
  if (!wanted.starts_with("xid=")) return kNvmlTimeout;
  if (const auto at = wanted.find('@'); at != std::string::npos) {
    std::string address;
    std::ifstream(wanted.substr(at + 1)) >> address;
    const char* const own = std::getenv("MUSTER_POD_IP");  // NOLINT(concurrency-mt-unsafe): set before
    if (own == nullptr || address != own || waits++ > 0) return kNvmlTimeout;
  } else if (++waits != 3) {
    return kNvmlTimeout;
  }
  *data = {.device = &the_gpu, .type = kXidEvent, .data = std::stoull(wanted.substr(4))};
  return kNvmlSuccess;
}
const char* nvmlErrorString(int result) { return result == 9 ? "Driver Not Loaded" : "an error"; }

}  // extern "C"
#pragma GCC visibility pop
// NOLINTEND(readability-identifier-naming)
