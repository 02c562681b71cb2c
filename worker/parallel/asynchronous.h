#pragma once  // worker/parallel/asynchronous.h: updates that wait for no other worker
#include <cstdint>
#include <span>

#include "worker/parallel/synchronizer.h"

namespace muster::worker {

// Beside a Synchronizer, in place of its exchange and update. The batches of a segment, updates first ..
// last - 1, are given out one by one to whoever is free; at its end all ranks hold the same parameters again.
class AsynchronousUpdates {
 public:
  struct Turn {
    bool over = false;  // there is no more batch for this rank
    std::int64_t batch =
        0;  // the update to compute next; over: the end of the segment, `last` but for a stop
    // Of the updates of this segment so far, of all ranks.
    double loss = 0;  // sum over the examples
    std::int64_t examples = 0;
    std::uint64_t rows = 0;            // digest of the rows (learning/ledger.h)
    std::int64_t not_finite = 0;       // elements of their gradients that were no finite numbers
    std::int64_t mine_not_finite = 0;  // of the one that was just pushed
    bool stop = false;                 // some rank was asked to stop
    SyncCost cost{};                   // of this rank and call
  };

  virtual ~AsynchronousUpdates() = default;
  // All ranks, after a barrier. `position`: examples trained on before, in all epochs. `parameters` [P], of
  // all calls: written, those to compute the batch with.
  [[nodiscard]] virtual Result<Turn> open(std::int64_t first, std::int64_t last, std::int64_t position,
                                          std::span<float> parameters) = 0;
  // step.number: the batch; step.share: its examples, mine == all. gradient: [P + kRiders], mean over them.
  [[nodiscard]] virtual Result<Turn> push(std::span<float> gradient, std::span<float> parameters,
                                          const Synchronizer::Step& step) = 0;
  // After a barrier behind the last push of all ranks: the parameters with all updates.
  [[nodiscard]] virtual Result<Turn> settle(std::span<float> parameters) = 0;
  // Of the segment, on rank 0: the updates that were done in a membership before, which are not given out and
  // not in what a Turn tells. Ascending.
  [[nodiscard]] virtual std::span<const std::int64_t> done_before() const = 0;
};

}  // namespace muster::worker
