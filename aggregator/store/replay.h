#pragma once  // aggregator/store/replay.h: the models of rounds that were closed, but not saved when the
              // process ended
#include <functional>
#include <span>

#include "aggregator/round/told.h"
#include "aggregator/store/recovery.h"
#include "aggregator/store/round_store.h"
#include "aggregator/strategy/strategy.h"
#include "learning/model.h"

namespace muster::agg {

struct ReplayPorts {
  // Null: of programs of the user's own, whose clients tell what they measured.
  std::function<learning::Evaluation(std::span<const float>, std::int64_t round)> evaluate;
  std::function<Status(const RoundView&)> save;
  // The history reached the target, perhaps that of `start` already: what was closed behind is not made.
  std::function<bool(const std::vector<learning::HistoryPoint>&)> enough;
};

// Takes `start`, the checkpoint, to the last of `closed`: folds the same updates in the same order, so that
// the models have the same bits. `each`: every one is evaluated and saved, as rounds are; else the last
// alone, as versions are. When it returns, `start` is saved, as far as it got. Memory: a model and an
// aggregate; updates are read from the mapped journal. May be killed, and begun anew. Errors:
// kFailedPrecondition: a model is not finite. kDataLoss: an update that was taken is refused now. Those of
// `save`.
[[nodiscard]] Status replay(const std::vector<ClosedRound>& closed, bool each, const ReplayPorts& ports,
                            Strategy& strategy, CommittedRound& start);

}  // namespace muster::agg
