#pragma once  // worker/gpu/nvml.h: what NVML, the library of NVIDIA's driver, tells of this pod's GPUs;
              // loaded at run time
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace muster::worker::gpu {

struct Reading {                        // of one GPU; nullopt: it does not tell
  std::optional<double> utilization{};  // part of the time in which a kernel ran, 0 to 1
  std::optional<std::uint64_t> memory_used_bytes{};
  std::optional<std::uint64_t> memory_bytes{};
  std::optional<double> temperature_celsius{};
  std::optional<double> power_watts{};
};

struct XidEvent {
  std::size_t gpu = 0;  // index
  std::uint64_t xid = 0;
};

// Any call may take for ever where the driver hangs: one thread, which nobody waits for.
class Nvml {
 public:
  // Errors: kNotFound: there is no such library, so no NVIDIA driver; kUnavailable: it does not work, by its
  // own words.
  [[nodiscard]] static Result<std::unique_ptr<Nvml>> load(const std::string& name = "libnvidia-ml.so.1");
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  [[nodiscard]] const std::vector<std::string>& uuids() const { return uuids_; }  // by index
  // Errors: kUnavailable: the GPU is lost.
  [[nodiscard]] Result<Reading> read(std::size_t gpu) const;
  // Waits up to `limit` for the next XID of any of them. nullopt: none. Where the driver reports no events,
  // as some virtual GPUs do not, it waits and tells none.
  [[nodiscard]] std::optional<XidEvent> wait(std::chrono::milliseconds limit) const;

 private:
  struct Functions;
  Nvml();
  std::unique_ptr<Functions> functions_;
  std::vector<void*> devices_;
  std::vector<std::string> uuids_;
  void* events_ = nullptr;  // nullptr: there are none to wait for
};

}  // namespace muster::worker::gpu
