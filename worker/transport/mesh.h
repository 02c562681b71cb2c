#pragma once  // worker/transport/mesh.h: byte streams between all ranks of one membership
#include <cstddef>
#include <optional>
#include <span>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace muster::worker {

// An ordered, reliable byte stream each way between each pair of ranks, connected when one of the two first
// uses it. One thread uses a mesh; abort() may come from any. After an error the mesh is dead. Errors:
// kUnavailable names the rank that was lost and its address, the same on every rank; kAborted; wait:
// kDeadlineExceeded names the rank that did not come.
class Mesh {
 public:
  struct Interest {
    int peer = 0;  // another rank
    bool send = false;
    bool receive = false;
  };

  virtual ~Mesh() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;

  // Moves what can be moved at once, `head` before `body`; 0 bytes when nothing can, or not yet.
  [[nodiscard]] virtual Result<std::size_t> send_some(int peer, std::span<const std::byte> head,
                                                      std::span<const std::byte> body) = 0;
  [[nodiscard]] virtual Result<std::size_t> receive_some(int peer, std::span<std::byte> head,
                                                         std::span<std::byte> body) = 0;
  // Blocks until one of the directions that are asked for can move bytes, and leaves those set that can.
  // Fails as soon as any rank is known to be lost. With no interests the end of the deadline is success: for
  // who waits for something beside the mesh.
  [[nodiscard]] virtual Status wait(std::span<Interest> interests, Deadline deadline) = 0;
  // Such a wait has taken too long: the rank that has not come, kUnavailable or kDeadlineExceeded as above.
  // nullopt: all have come.
  [[nodiscard]] virtual std::optional<Error> blame() = 0;

  // An error as wait's, without waiting, where a rank is known to be lost by now. It does not count as a
  // wait: who asks has not come to where the others may wait for it.
  [[nodiscard]] virtual Status state() = 0;
  virtual void abort() noexcept = 0;
  // Collective's.
  virtual void leave(const Status& why) noexcept = 0;
};

}  // namespace muster::worker
