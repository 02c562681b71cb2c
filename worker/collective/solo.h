#pragma once  // worker/collective/solo.h: the collective of a job with one worker: nothing to share
#include <atomic>

#include "worker/collective/collective.h"

namespace muster::worker {

class Solo final : public Collective {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  Status all_reduce_sum(std::span<float> /*buffer*/, Traffic /*traffic*/, Deadline /*deadline*/,
                        std::size_t /*riders*/) override {
    return state();
  }
  void limit_waits(std::optional<std::chrono::milliseconds> /*limit*/) override {}
  [[nodiscard]] std::uint64_t all_reduce_bytes(std::size_t /*elements*/) const override { return 0; }
  Result<Settled> settle(std::size_t /*elements*/, std::string_view /*known*/,
                         std::chrono::milliseconds /*timeout*/) override {
    MUSTER_TRY(state());
    return Settled{};
  }
  Status exchange(std::span<std::byte> /*memory*/, std::size_t /*payload*/, std::size_t /*alike*/,
                  std::span<const Parcel> /*to*/, std::span<const Parcel> /*from*/,
                  Deadline /*deadline*/) override {
    return state();
  }
  Status broadcast(std::span<std::byte> /*buffer*/, int /*root*/, Deadline /*deadline*/) override {
    return state();
  }
  Status barrier(Deadline /*deadline*/) override { return state(); }
  Status state() override { return aborted_ ? Status(aborted("the collective was aborted")) : Status(); }
  [[nodiscard]] TrafficBytes bytes_sent() const override { return {}; }
  void abort() noexcept override { aborted_ = true; }
  void leave(const Status& /*why*/) noexcept override { aborted_ = true; }

 private:
  std::atomic<bool> aborted_ = false;
};

}  // namespace muster::worker
