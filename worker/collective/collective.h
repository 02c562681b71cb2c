#pragma once  // worker/collective/collective.h: sums and copies shared by the ranks of one job. Pure
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "worker/collective/schedule.h"

namespace muster::worker {

enum class Traffic {
  kPayload,  // gradients: what the formulas of the topologies speak of
  kControl,  // losses, evaluations, the state that joiners get
};

struct TrafficBytes {  // sent by this rank since the group began
  std::uint64_t payload = 0;
  std::uint64_t control = 0;  // including every header
};

struct Settled {              // how sums go
  std::string_view topology;  // its name; empty: one rank alone
  bool picked = false;        // by the ranks, as the spec leaves it open (Auto)
};

class Collective {  // every rank makes the same calls in the same order, from one thread
 public:
  virtual ~Collective() = default;
  [[nodiscard]] virtual int rank() const = 0;  // 0 <= rank() < size()
  [[nodiscard]] virtual int size() const = 0;  // >= 1, fixed for the life of the group

  // Replaces buffer[i] by its sum over ranks. buffer: [n] float32, same n everywhere, 0 allowed; its last
  // `riders` elements count as control whatever the rest is. All ranks get the same bits, and the same inputs
  // give the same bits again. Blocks until done or `deadline` (monotonic, whole call). The caller keeps the
  // memory. Errors: kDeadlineExceeded: a peer is late or gone. kUnavailable: a link broke. kAborted.
  // kInternal: the ranks did not make the same call. After any error `buffer` is unspecified and the group is
  // dead. Cost: that of the topology (schedule.h).
  [[nodiscard]] virtual Status all_reduce_sum(std::span<float> buffer, Traffic traffic, Deadline deadline,
                                              std::size_t riders) = 0;
  [[nodiscard]] Status all_reduce_sum(std::span<float> buffer, Traffic traffic, Deadline deadline) {
    return all_reduce_sum(buffer, traffic, deadline, 0);
  }
  // Says by which topology sums of so many float32 go, and where the spec leaves that open, decides it for
  // all later calls: `known`, where this is a topology, which then is the same on all ranks, else the one
  // that the ranks find the fastest in some sums that count as control. Errors as above; `timeout` is that of
  // one sum.
  [[nodiscard]] virtual Result<Settled> settle(std::size_t elements, std::string_view known,
                                               std::chrono::milliseconds timeout) = 0;
  // No later call waits longer than this, whatever its deadline. nullopt: as long as that says.
  virtual void limit_waits(std::optional<std::chrono::milliseconds> limit) = 0;
  // Bytes that this rank sends for a sum of so many float32, by the topology's formula; riders left out.
  [[nodiscard]] virtual std::uint64_t all_reduce_bytes(std::size_t elements) const = 0;

  // Each rank's bytes for each other, of any sizes that both ends know. Parcels between two ranks go in the
  // order in which both list them. Those within [0, payload) of `memory` count as payload. `alike`: a size
  // that every rank has to call with; 0 where what they have in memory differs. Errors as above.
  struct Parcel {
    int peer = 0;  // another rank
    Chunk chunk;   // bytes of `memory`
  };
  [[nodiscard]] virtual Status exchange(std::span<std::byte> memory, std::size_t payload, std::size_t alike,
                                        std::span<const Parcel> to, std::span<const Parcel> from,
                                        Deadline deadline) = 0;

  // Makes buffer the root's on every rank; same size everywhere. Counted as control. Errors as above.
  [[nodiscard]] virtual Status broadcast(std::span<std::byte> buffer, int root, Deadline deadline) = 0;

  // Returns once every rank has called it. Errors as above.
  [[nodiscard]] virtual Status barrier(Deadline deadline) = 0;

  // For a rank that works by itself for long: an error, as above, where a rank is known to be lost by now. It
  // does not wait.
  [[nodiscard]] virtual Status state() = 0;

  [[nodiscard]] virtual TrafficBytes bytes_sent() const = 0;

  // Ends the call under way, and every later one, with kAborted. From any thread, any number of times.
  virtual void abort() noexcept = 0;
  // Tells the other ranks why this one goes; their calls then fail with that error. Success: its work is
  // done. A rank that goes without this call is taken for dead. From the calling thread.
  virtual void leave(const Status& why) noexcept = 0;
};

}  // namespace muster::worker
