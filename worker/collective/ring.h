#pragma once  // worker/collective/ring.h: the collective over a ring of byte streams
#include <memory>
#include <vector>

#include "worker/collective/collective.h"
#include "worker/collective/ring_plan.h"
#include "worker/transport/ring_links.h"

namespace muster::worker {

// Streams: a byte goes on as soon as it is reduced, segments only bound how much is reduced while it is in
// the cache. Each call starts with a 24-byte header a link that says what the call is; ranks that do not
// agree get an error instead of wrong sums. Payload has no other framing.
class Ring final : public Collective {
 public:
  static constexpr std::size_t kSegmentBytes = 128 * 1024;  // receive and send unit: half of a small L2 cache

  explicit Ring(std::unique_ptr<RingLinks> links);

  [[nodiscard]] int rank() const override { return links_->rank(); }
  [[nodiscard]] int size() const override { return links_->size(); }
  Status all_reduce_sum(std::span<float> buffer, Traffic traffic, Deadline deadline) override;
  Status broadcast(std::span<std::byte> buffer, int root, Deadline deadline) override;
  Status barrier(Deadline deadline) override;
  [[nodiscard]] TrafficBytes bytes_sent() const override { return sent_; }
  void abort() noexcept override { links_->abort(); }
  void leave(const Status& why) noexcept override { links_->leave(why); }

 private:
  struct Stream;
  [[nodiscard]] Status run(Stream& stream, Deadline deadline);
  [[nodiscard]] Result<std::size_t> send(Stream& stream);
  [[nodiscard]] Result<std::size_t> receive(Stream& stream);
  void absorb(Stream& stream, std::size_t bytes);

  std::unique_ptr<RingLinks> links_;
  std::vector<std::byte> segment_;  // received, not yet reduced
  std::uint32_t calls_ = 0;
  TrafficBytes sent_;
};

}  // namespace muster::worker
