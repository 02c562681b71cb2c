#pragma once  // worker/collective/ring_plan.h: which chunk a rank sends and receives at which step of a ring
#include <cstddef>
#include <cstdint>

namespace muster::worker {

struct Chunk {  // elements [begin, begin + size)
  std::size_t begin = 0;
  std::size_t size = 0;
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

// The ring all-reduce of `elements` over `ranks`: steps 0 .. n-2 scatter sums, n-1 .. 2n-3 gather them. What
// a rank receives at step s is what it sends at step s + 1, so its whole output is its own chunk followed by
// its (reduced) input without the last chunk: the fact that lets the ring stream instead of stepping.
class RingPlan {
 public:
  // ranks >= 1. The first elements % ranks chunks are one element longer than the others.
  RingPlan(std::size_t elements, int ranks);

  [[nodiscard]] int steps() const { return 2 * (ranks_ - 1); }
  [[nodiscard]] int reduce_steps() const { return ranks_ - 1; }
  [[nodiscard]] Chunk chunk(int index) const;
  [[nodiscard]] Chunk sent(int rank, int step) const;      // by `rank` to its successor
  [[nodiscard]] Chunk received(int rank, int step) const;  // from its predecessor
  // 2S - c[(rank+1) % n] - c[(rank+2) % n] bytes, S = 4 * elements; over all ranks exactly 2(n-1)S.
  [[nodiscard]] std::uint64_t bytes_sent(int rank) const;

 private:
  std::size_t elements_;
  int ranks_;
};

}  // namespace muster::worker
