#pragma once  // worker/engine/agreement.h: from which state the ranks of a membership begin
#include <cstdint>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include "common/base/result.h"
#include "learning/checkpoint.h"
#include "learning/optimizer.h"
#include "worker/collective/collective.h"

namespace muster::worker {

// What a rank brings to a membership, and takes to the next.
struct Learnt {
  std::optional<learning::TrainingState> state;  // absent: nothing yet
  // In which the state came about: whoever completed the same step of the same membership has the same bits.
  // 0: it comes from a checkpoint, or there is none.
  std::int64_t membership = 0;
};

// Whose state the ranks take: that of the latest membership, and then of the latest step, so that a step that
// some of the ranks completed before another was lost counts once, for all. Of equal ones the lowest rank's.
// Where nobody brings one from a membership, whoever has the latest checkpoint begins (rank 0 writes it, or
// each peer its own), or rank 0 afresh.
struct Standing {
  std::int64_t membership = 0;
  std::int64_t step = 0;
  friend bool operator==(const Standing&, const Standing&) = default;
  friend bool operator<(const Standing& a, const Standing& b) {
    return std::tie(a.membership, a.step) < std::tie(b.membership, b.step);
  }
};
struct Choice {
  int root = 0;
  bool all_have_it = false;  // nothing is to be sent
  friend bool operator==(const Choice&, const Choice&) = default;
};
[[nodiscard]] Choice choose(std::span<const Standing> standings);  // by rank
// The same between the ranks of a collective. Errors: the collective's.
[[nodiscard]] Result<Choice> choose(Collective& collective, const Learnt& mine, Deadline deadline);

// The root's parameters and optimizer state on all ranks, written on those that are not the root. Errors: the
// collective's; what is written to is then unspecified.
[[nodiscard]] Status share(Collective& collective, int root, std::span<float> parameters,
                           const std::vector<learning::Optimizer::Slot>& slots, Deadline deadline);
// The root's points on all ranks, of which there are `count`.
[[nodiscard]] Status share(Collective& collective, int root, std::vector<learning::HistoryPoint>& points,
                           std::int64_t count, Deadline deadline);

}  // namespace muster::worker
