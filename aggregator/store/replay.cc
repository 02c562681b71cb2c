// aggregator/store/replay.cc: fold, finish, evaluate, save
#include "aggregator/store/replay.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "aggregator/round/counted.h"
#include "aggregator/store/curve.h"

namespace muster::agg {
namespace {

Status evaluate_and_save(const ReplayPorts& ports, const Strategy& strategy, std::optional<Measured> measured,
                         CommittedRound& start) {
  if (ports.evaluate) {
    const learning::Evaluation result = ports.evaluate(start.parameters, start.round);
    if (!std::isfinite(result.loss))
      return failed_precondition(
          fmt::format("the test loss of round {0} is not finite: training diverged; lower "
                      "training.optimizer.learningRate. Round {0} is not kept",
                      start.round));
    measured = Measured{.loss = result.loss, .accuracy = result.accuracy};
  }
  if (measured)
    add_point(start.history, {.at = start.round, .loss = measured->loss, .accuracy = measured->accuracy});
  return ports.save({.round = start.round,
                     .parameters = start.parameters,
                     .history = start.history,
                     .state = strategy.state(),
                     .counted = start.counted,
                     .devices = start.devices});
}

}  // namespace

Status replay(const std::vector<ClosedRound>& closed, bool each, const ReplayPorts& ports, Strategy& strategy,
              CommittedRound& start) {
  if (ports.enough(start.history)) return {};  // killed between the last save and the end
  CountedUpdates counted(start.counted);
  DeviceReports devices(start.counted.size(), start.devices);
  for (const ClosedRound& round : closed) {
    ToldByClients told;
    for (const PendingUpdate& pending : round.taken) {
      if (Status taken = strategy.take(contribution_of(pending.update, pending.values, round.round)); !taken)
        return data_loss(fmt::format("round {}: an update of the journal that was taken is refused now: {}",
                                     round.round, taken.error().message));
      counted.taken(pending.update.client, pending.update.number);
      devices.taken(pending.update.client, pending.update.held_out);
      told.add(pending.update.loss, pending.update.accuracy);
    }
    counted.sealed();
    devices.sealed();
    auto next = strategy.finish(start.parameters);
    if (!next) return failed_precondition(fmt::format("round {}: {}", round.round, next.error().message));
    start.parameters = std::move(*next);
    counted.committed();
    start.counted = counted.with_sealed();
    start.devices = devices.kept();
    start.round = round.round;
    if (!each && &round != &closed.back()) continue;  // the history says nothing of it
    MUSTER_TRY(evaluate_and_save(ports, strategy, told.summary(), start));
    if (ports.enough(start.history)) return {};
  }
  return {};
}

}  // namespace muster::agg
