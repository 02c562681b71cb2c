#pragma once  // worker/collective/schedule.h: what one rank does in a collective call, as data. Pure
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace muster::worker {

struct Chunk {  // elements [begin, begin + size)
  std::size_t begin = 0;
  std::size_t size = 0;
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

// The vector that a call is about. What rides behind its elements goes where the last of them go, so that a
// few more numbers cost no latency; it is no payload.
struct Extent {
  std::size_t elements = 0;
  std::size_t riders = 0;
  [[nodiscard]] std::size_t all() const { return elements + riders; }
  // The elements in equal parts, the first ones longer by one where they do not divide; the riders belong to
  // the last.
  [[nodiscard]] Chunk part(int index, int parts) const;
  // Parts first .. last - 1.
  [[nodiscard]] Chunk parts(int first, int last, int parts) const;
  friend bool operator==(const Extent&, const Extent&) = default;
};

struct Move {
  enum class Kind : std::uint8_t {
    kSend,
    kReduce,  // what comes in is added to what is there
    kStore,   // what comes in takes its place
  };
  Kind kind = Kind::kSend;
  int peer = 0;  // the rank itself: from one place of its memory to another
  Chunk chunk{};
  // Moves of this rank that this one stays behind, element by element: a send passes on what these have
  // received so far, so that bytes stream through a rank. -1: none.
  std::array<int, 2> after{-1, -1};
  bool scratch = false;  // of a second vector of the same extent, empty before the call
};

// The moves to one peer happen in this order, and so do those from it; different peers wait for nothing but
// `after`.
struct Schedule {
  std::vector<Move> moves;
  [[nodiscard]] int add(const Move& move) {
    moves.push_back(move);
    return static_cast<int>(moves.size()) - 1;
  }
};

// Sums the vectors of all ranks on each of them. k: bytes of the vector, n: ranks. All give each rank the
// same bits, and the same bits again.
//
// Sent by a rank 2k - c[r+1] - c[r+2] (c: the parts; about 2k(n-1)/n), in all 2k(n-1), in 2(n-1) steps.
// Source: Patarasuk & Yuan, J. Parallel Distrib. Comput. 69(2), 2009.
[[nodiscard]] Schedule ring_all_reduce(int rank, int ranks, Extent extent);
// As many bytes in all, in 2 log2(n) steps; by a rank about 2k(n-1)/n where n is a power of two. Else the
// ranks beyond it give their vector to a partner first, which sends k more. Source: Thakur, Rabenseifner &
// Gropp, Int. J. High Perform. Comput. Appl. 19(1), 2005.
[[nodiscard]] Schedule halving_doubling_all_reduce(int rank, int ranks, Extent extent);
// A binomial tree to rank 0 and back: 2k(n-1) in all, in 2 log2(n) steps of whole vectors.
[[nodiscard]] Schedule tree_all_reduce(int rank, int ranks, Extent extent);
// Everybody sends its whole vector to everybody: k(n-1) a rank, kn(n-1) in all, in one step. Needs a second
// vector: all ranks add in the order of ranks.
[[nodiscard]] Schedule all_to_all_all_reduce(int rank, int ranks, Extent extent);
// Each rank sums its part of all vectors, and gives it to all: bytes as the ring's, in two steps.
[[nodiscard]] Schedule direct_all_reduce(int rank, int ranks, Extent extent);
// Two ranks send each other all they have: a ring's bytes, half its latency, twice its additions.
[[nodiscard]] Schedule exchange_all_reduce(int rank, Extent extent);

// The root's vector to all: along the ranks in a chain, or down a binomial tree.
[[nodiscard]] Schedule chain_broadcast(int rank, int ranks, int root, Extent extent);
[[nodiscard]] Schedule tree_broadcast(int rank, int ranks, int root, Extent extent);

// Elements that are sent to other ranks, riders left out.
[[nodiscard]] std::uint64_t payload_elements(const Schedule& schedule, int rank, Extent extent);

}  // namespace muster::worker
