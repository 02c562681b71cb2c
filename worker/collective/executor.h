#pragma once  // worker/collective/executor.h: carries out a schedule over a mesh
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "worker/collective/schedule.h"
#include "worker/transport/mesh.h"

namespace muster::worker {

// What a call is. Equal on all ranks, or they do not make the same call; goes ahead of the first byte to
// each peer.
struct CallHeader {
  std::uint32_t magic = 0x4853454dU;  // "MESH"
  std::uint32_t kind = 0;             // of the call, with all that the ranks must agree on
  std::uint32_t call = 0;
  std::uint32_t reserved = 0;
  std::uint64_t bytes = 0;
};
static_assert(sizeof(CallHeader) == 24);

struct SentBytes {
  std::uint64_t payload = 0;
  std::uint64_t control = 0;  // headers and riders
};

// Streams: a byte goes on as soon as it is reduced, segments only bound how much is reduced while it is in
// the cache. Ranks that do not agree on the call get an error instead of wrong sums. Payload has no framing
// but the header.
class Executor {
 public:
  static constexpr std::size_t kSegmentBytes = 128 * 1024;  // receive and send unit: half of a small L2 cache

  explicit Executor(Mesh& mesh) : mesh_(mesh), segment_(kSegmentBytes) {}

  struct Call {
    const Schedule& schedule;
    Extent extent;
    std::span<std::byte> buffer;  // of extent.all() elements
    std::size_t element = 0;      // bytes of one: 4 where the schedule reduces (float32)
    CallHeader header;
  };
  // Blocks until this rank's part is done. After an error `buffer` is unspecified and the mesh is dead.
  // Errors: the mesh's; kInternal: the ranks do not make the same call.
  [[nodiscard]] Status run(const Call& call, Deadline deadline);

  // By this rank to others, since it was made; what the mesh took.
  [[nodiscard]] SentBytes sent() const { return sent_; }

 private:
  class Run;

  Mesh& mesh_;
  std::vector<std::byte> segment_;  // received, not yet reduced
  std::vector<std::byte> scratch_;  // the second vector
  SentBytes sent_;
};

}  // namespace muster::worker
