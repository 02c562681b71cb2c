// worker/program/alone.cc: epochs, batches, steps
#include "worker/program/alone.h"

#include <algorithm>

#include "worker/engine/epoch_order.h"

namespace muster::program {
namespace {

constexpr int kStopped = 143;  // of a process that was asked to stop (pod/pod_contract.h)

}  // namespace

Alone::Alone(const World& world, std::int64_t examples)
    : world_(world), examples_(examples), a_epoch_((examples + world.batch_size - 1) / world.batch_size) {
  batch_.total_steps = a_epoch_ * world.epochs;
}

Alone::Ask Alone::next(bool stop) {
  if (taken_ > 0) {
    ++batch_.step;
    batch_.position += std::exchange(taken_, 0);
    if (batch_.position >= examples_) {
      ++batch_.epoch;
      batch_.position = 0;
    }
    return {.kind = Kind::kStep, .batch = batch_};
  }
  if (stop || batch_.epoch >= world_.epochs)
    return {.kind = Kind::kEnd, .batch = batch_, .exit_code = stop ? kStopped : 0};
  if (ordered_epoch_ != batch_.epoch) {
    order_ = worker::epoch_order(static_cast<std::uint64_t>(world_.seed), batch_.epoch, examples_);
    ordered_epoch_ = batch_.epoch;
  }
  taken_ = std::min(world_.batch_size, examples_ - batch_.position);
  return {.kind = Kind::kBatch,
          .batch = batch_,
          .rows = std::span<const std::int64_t>(order_).subspan(static_cast<std::size_t>(batch_.position),
                                                                static_cast<std::size_t>(taken_))};
}

}  // namespace muster::program
