#pragma once  // aggregator/strategy/robust.h: strategies that look at every update of a round at once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "aggregator/strategy/strategy.h"
#include "aggregator/strategy/update_shelf.h"

namespace muster::agg {

// What has come in one round.
struct RoundUpdates {
  std::span<const float> values;          // [n, P] row-major, in order of arrival
  std::span<const std::int32_t> clients;  // [n]
};

// model += combine(all updates): Median, TrimmedMean and Krum (make_strategy.cc). Every update counts alike:
// a number of examples is a client's claim, and these strategies are for clients that may lie. Updates lie on
// the shelf, 4 P bytes each; in memory there is the next model alone. Nothing is remembered between rounds.
class Robust final : public Strategy {
 public:
  using Combine = std::function<void(const RoundUpdates& updates, std::span<float> combined)>;

  // finish() needs `updates_min` updates at least.
  Robust(std::size_t parameters, std::int64_t updates_min, std::unique_ptr<UpdateShelf> shelf,
         Combine combine)
      : parameters_(parameters),
        updates_min_(updates_min),
        shelf_(std::move(shelf)),
        combine_(std::move(combine)) {}
  [[nodiscard]] learning::LocalSettings settings() const override { return {}; }
  [[nodiscard]] Status take(const Contribution& from) override;
  [[nodiscard]] Result<std::vector<float>> finish(std::span<const float> model) override;
  void discard() override;
  [[nodiscard]] std::vector<learning::SlotView> state() const override { return {}; }
  [[nodiscard]] Status restore(std::vector<learning::OptimizerState::Slot> state) override;

 private:
  std::size_t parameters_;
  std::int64_t updates_min_;
  std::unique_ptr<UpdateShelf> shelf_;
  Combine combine_;
  std::vector<std::int32_t> clients_;  // of the updates on the shelf
};

}  // namespace muster::agg
