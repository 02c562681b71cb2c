// worker/gpu/gpu_watch.cc: readings at their times, errors when they come
#include "worker/gpu/gpu_watch.h"

#include <fmt/format.h>

#include <atomic>
#include <utility>

#include "common/base/clock.h"
#include "common/platform/mutex.h"
#include "common/pods/device_failure.h"
#include "worker/gpu/xid.h"

namespace muster::worker::gpu {
namespace {

constexpr std::chrono::milliseconds kLook{100};  // in which the thread hears that it is to end

}  // namespace

struct GpuWatch::Shared {
  Options options;
  std::atomic<bool> over = false;
  mutable Mutex mutex;
  std::optional<std::string> failure MUSTER_GUARDED_BY(mutex);

  void fail(const std::string& uuid, const std::string& why) {
    const MutexLock lock(mutex);
    if (!failure) failure = failed_device_words(uuid, why);
  }
};

GpuWatch::GpuWatch(Options options) : shared_(std::make_shared<Shared>()) {
  shared_->options = std::move(options);
  lane_.start([shared = shared_] { run(*shared); });
}

GpuWatch::~GpuWatch() { shared_->over = true; }

std::optional<std::string> GpuWatch::failure() const {
  const MutexLock lock(shared_->mutex);
  return shared_->failure;
}

void GpuWatch::run(Shared& shared) {
  const Options& options = shared.options;
  const auto nvml = Nvml::load(options.library);
  if (!nvml) {
    if (nvml.error().code != Code::kNotFound) options.log(nvml.error().message);
    return;
  }
  const std::vector<std::string>& uuids = (*nvml)->uuids();
  if (uuids.empty()) return;
  options.log(fmt::format("gpus here={} first={}", uuids.size(), uuids.front()));
  Instant next{};
  while (!shared.over) {
    if (const Instant now = std::chrono::steady_clock::now(); now >= next) {
      next = now + options.interval;
      for (std::size_t gpu = 0; gpu < uuids.size() && !shared.over; ++gpu) {
        const auto reading = (*nvml)->read(gpu);
        if (shared.over) return;
        if (reading) {
          options.read(gpu, uuids[gpu], *reading);
        } else {
          shared.fail(uuids[gpu], "the driver has lost it");
        }
      }
    }
    const auto event = (*nvml)->wait(kLook);
    if (!event || shared.over) continue;
    options.xid(*event, uuids[event->gpu]);
    if (needs_another_gpu(event->xid)) shared.fail(uuids[event->gpu], xid_words(event->xid));
  }
}

}  // namespace muster::worker::gpu
