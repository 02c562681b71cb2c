// worker/parallel/gossip.cc: models to and from neighbours, and their mean
#include "worker/parallel/gossip.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "common/base/check.h"

namespace muster::worker {

Result<StepSums> Gossip::exchange(std::span<float> gradient, std::span<float> parameters, const Step& step) {
  StepSums sums{.loss = step.loss};
  stop_ = stop_ || step.stop;
  ++steps_;
  has_gradient_ = step.share.mine > 0;
  if (has_gradient_)
    not_finite_ += weigh(gradient.first(gradient.size() - kRiders), {.mine = 1, .all = 1}, 1);
  if (peers_.size() > 1) MUSTER_TRY(average(parameters, step.number, sums.cost));
  if (step.number % kTalkSteps == 0) MUSTER_TRY(talk(step, sums));
  if (loss_ && std::isfinite(step.loss)) sums.loss = *loss_;
  return sums;
}

Status Gossip::average(std::span<float> parameters, std::int64_t step, SyncCost& cost) {
  const std::vector<GossipTie> ties =
      gossip_ties(options_.graph, peers_.rank(), peers_.size(), step, options_.seed);
  const std::size_t size = parameters.size();
  models_.resize(ties.size() * size);
  std::ranges::copy(parameters, models_.begin());
  const std::span<std::byte> memory = std::as_writable_bytes(std::span(models_));
  std::vector<Collective::Parcel> to, from;
  for (const GossipTie& tie : ties) {
    if (tie.rank == peers_.rank()) continue;
    to.push_back({.peer = tie.rank, .chunk = {.begin = 0, .size = size * sizeof(float)}});
    from.push_back(
        {.peer = tie.rank,
         .chunk = {.begin = (from.size() + 1) * size * sizeof(float), .size = size * sizeof(float)}});
  }
  MUSTER_TRY(peers_.exchange(memory, memory.size(), 0, to, from, deadline_after(options_.timeout)));
  cost.payload_bytes = to.size() * size * sizeof(float);
  std::ranges::fill(parameters, 0.0F);
  std::size_t neighbour = 0;
  for (const GossipTie& tie : ties) {
    const float* const model = models_.data() + (tie.rank == peers_.rank() ? 0 : ++neighbour) * size;
    for (std::size_t i = 0; i < size; ++i) parameters[i] += tie.weight * model[i];
  }
  double apart = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const double moved = static_cast<double>(parameters[i]) - static_cast<double>(models_[i]);
    apart += moved * moved;
  }
  distance_ = std::sqrt(apart);
  return {};
}

// All at the same step.
Status Gossip::talk(const Step& step, StepSums& sums) {
  std::array<float, 3> told{loss_rider(step.loss, step.share), stop_ ? 1.0F : 0.0F,
                            static_cast<float>(not_finite_)};
  MUSTER_TRY(peers_.all_reduce_sum(told, Traffic::kControl, deadline_after(options_.timeout)));
  loss_ = static_cast<double>(told[0]) / static_cast<double>(step.share.all);
  sums.stop = told[1] > 0;
  sums.not_finite = count_told(told[2]);
  sums.mine_not_finite = std::exchange(not_finite_, 0);
  sums.steps = std::exchange(steps_, 0);
  return {};
}

}  // namespace muster::worker
