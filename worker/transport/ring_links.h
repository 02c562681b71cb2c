#pragma once  // worker/transport/ring_links.h: one rank's place in a ring: bytes to its successor, bytes from
              // its predecessor
#include <cstddef>
#include <span>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace muster::worker {

// Two ordered, reliable byte streams. One thread uses it; abort() may come from any. After an error the links
// are dead. Errors: kUnavailable names the rank that was lost and its address, the same on every rank;
// kAborted; wait: kDeadlineExceeded names the rank that did not come.
class RingLinks {
 public:
  struct Ready {
    bool send = false;
    bool receive = false;
  };

  virtual ~RingLinks() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;

  // Moves what can be moved at once, `head` before `body`; 0 bytes when nothing can.
  [[nodiscard]] virtual Result<std::size_t> send_some(std::span<const std::byte> head,
                                                      std::span<const std::byte> body) = 0;
  [[nodiscard]] virtual Result<std::size_t> receive_some(std::span<std::byte> head,
                                                         std::span<std::byte> body) = 0;
  // Blocks until a direction asked for can move bytes. Fails as soon as any rank is known to be lost.
  [[nodiscard]] virtual Result<Ready> wait(bool sending, bool receiving, Deadline deadline) = 0;

  virtual void abort() noexcept = 0;
  // Collective's.
  virtual void leave(const Status& why) noexcept = 0;
};

}  // namespace muster::worker
