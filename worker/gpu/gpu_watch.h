#pragma once  // worker/gpu/gpu_watch.h: a thread that reads this pod's GPUs and hears of their errors
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "worker/gpu/nvml.h"
#include "worker/nccl/call_lane.h"

namespace muster::worker::gpu {

// All methods are thread-safe. Its thread is left behind where a call of the driver hangs.
class GpuWatch {
 public:
  struct Options {
    std::string library = "libnvidia-ml.so.1";
    std::chrono::milliseconds interval{5'000};  // between two readings
    // On its thread; not after the watch is destroyed, but for a call that is under way then.
    std::function<void(std::size_t gpu, const std::string& uuid, const Reading& reading)> read;
    std::function<void(const XidEvent& event, const std::string& uuid)> xid;
    std::function<void(const std::string& line)> log;  // once, what it finds
  };
  explicit GpuWatch(Options options);  // no GPU, no driver: it ends at once
  ~GpuWatch();
  GpuWatch(const GpuWatch&) = delete;
  GpuWatch& operator=(const GpuWatch&) = delete;

  // In the words of device_failure.h, by which the operator knows a device's fault: the first XID that needs
  // another GPU, or a GPU that is lost.
  [[nodiscard]] std::optional<std::string> failure() const;

 private:
  struct Shared;
  static void run(Shared& shared);

  std::shared_ptr<Shared> shared_;
  nccl::CallLane lane_;
};

}  // namespace muster::worker::gpu
