// aggregator/strategy/scoring.cc: all products in one pass over the updates, then each update alone
#include "aggregator/strategy/scoring.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "aggregator/strategy/checks.h"
#include "common/base/check.h"
#include "learning/outer_step.h"

namespace muster::agg {
namespace {

constexpr std::size_t kBlock = 2048;  // parameters at a time, and sums side by side: as krum.cc
constexpr std::size_t kLanes = 8;
constexpr std::array<const char*, 5> kSlots{"contribution.updates", "contribution.gain",
                                            "contribution.weight", "contribution.harmful",
                                            "contribution.copies"};

template <typename Real>
double product(const Real* a, const Real* b, std::size_t count) {
  std::array<double, kLanes> lanes{};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
  double sum = std::accumulate(lanes.begin(), lanes.end(), 0.0);
  for (; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

// to = sum of weight_k row_k, by the rows that weigh anything.
void weighted_sum(std::span<const float> updates, std::span<const double> weights, std::span<float> to) {
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row < weights.size(); ++row)
    if (weights[row] > 0) rows.push_back(row);
  for (std::size_t i = 0; i < to.size(); ++i) {
    double sum = 0;
    for (const std::size_t row : rows)
      sum += weights[row] * static_cast<double>(updates[row * to.size() + i]);
    to[i] = static_cast<float>(sum);
  }
}

}  // namespace

template <typename Real>
std::vector<bool> copies_among(std::span<const Real> updates, std::size_t n) {
  if (n == 0) return {};
  MUSTER_CHECK(updates.size() % n == 0);
  const std::size_t parameters = updates.size() / n;
  std::vector<double> products(n * n);  // the upper triangle
  for (std::size_t begin = 0; begin < parameters; begin += kBlock) {
    const std::size_t count = std::min(kBlock, parameters - begin);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = i; j < n; ++j)
        products[i * n + j] +=
            product(updates.data() + i * parameters + begin, updates.data() + j * parameters + begin, count);
  }
  std::vector<bool> copies(n);
  for (std::size_t j = 1; j < n; ++j) {
    for (std::size_t i = 0; i < j && !copies[j]; ++i) {
      const double lengths = std::sqrt(products[i * n + i]) * std::sqrt(products[j * n + j]);
      copies[j] = lengths > 0 && products[i * n + j] > kCopyCosine * lengths;
    }
  }
  return copies;
}

std::vector<double> scored_weights(std::span<const double> gains, const std::vector<bool>& copies) {
  MUSTER_CHECK(gains.size() == copies.size());
  std::vector<double> weights(gains.size());
  double sum = 0;
  for (std::size_t k = 0; k < gains.size(); ++k) {
    if (copies[k] || !(gains[k] > 0)) continue;  // nor what is no number
    weights[k] = gains[k];
    sum += gains[k];
  }
  if (sum > 0)
    for (double& weight : weights) weight /= sum;
  return weights;
}

std::vector<learning::SlotView> Contributions::slots() const {
  const std::array<std::span<const float>, kSlots.size()> values{updates, gain, weight, harmful, copies};
  std::vector<learning::SlotView> slots;
  for (std::size_t i = 0; i < kSlots.size(); ++i) slots.push_back({kSlots[i], values[i]});
  return slots;
}

Status Contributions::restore(std::span<const learning::SlotView> from) {
  const std::array<std::vector<float>*, kSlots.size()> to{&updates, &gain, &weight, &harmful, &copies};
  bool fits = from.size() == kSlots.size();
  for (std::size_t i = 0; fits && i < kSlots.size(); ++i)
    fits = from[i].name == kSlots[i] && from[i].values.size() == to[i]->size();
  if (!fits)
    return failed_precondition(
        "the checkpoint's record of contributions is another strategy's, or of another number of clients; "
        "use another folder, or remove the file to start afresh");
  for (std::size_t i = 0; i < kSlots.size(); ++i) to[i]->assign(from[i].values.begin(), from[i].values.end());
  return {};
}

Status Scoring::take(const Contribution& from) {
  MUSTER_TRY(check_contribution(from, parameters_));
  if (from.client < 0 || static_cast<std::size_t>(from.client) >= totals_.updates.size())
    return invalid_argument(fmt::format("client {} is not of this federation", from.client));
  MUSTER_TRY(shelf_->add(from.delta));
  clients_.push_back(from.client);
  return {};
}

Result<std::vector<float>> Scoring::finish(std::span<const float> model) {
  MUSTER_CHECK(model.size() == parameters_);
  const std::size_t n = clients_.size();
  if (n == 0)
    return failed_precondition(
        "no update was accepted in this round, the strategy needs one; raise spec.cohort.minimum");
  const double before = loss_(model);
  if (!std::isfinite(before))
    return data_loss(
        "the held-out loss of the model is not finite: training diverged; lower "
        "training.optimizer.learningRate");
  std::vector<float> next(parameters_);
  {
    MUSTER_ASSIGN(const std::span<const float> updates, shelf_->all());
    MUSTER_CHECK(updates.size() == n * parameters_);
    std::vector<double> gains(n);
    for (std::size_t k = 0; k < n; ++k) {
      for (std::size_t i = 0; i < parameters_; ++i) next[i] = model[i] + updates[k * parameters_ + i];
      gains[k] = before - loss_(next);
    }
    const std::vector<bool> copies = copies_among<float>(updates, n);
    const std::vector<double> weights = scored_weights(gains, copies);
    record(gains, weights, copies);
    weighted_sum(updates, weights, next);
  }
  discard();
  learning::OuterState<float> none;
  learning::outer<float>({}, model, next, none, next);
  MUSTER_TRY(check_model(next));
  return next;
}

// In floats, as the checkpoint keeps them: a process that goes on from there comes to the same bits.
void Scoring::record(std::span<const double> gains, std::span<const double> weights,
                     const std::vector<bool>& copies) {
  scored_ = true;
  for (std::size_t k = 0; k < gains.size(); ++k) {
    const auto client = static_cast<std::size_t>(clients_[k]);
    const double gain = std::isfinite(gains[k]) ? std::clamp(gains[k], -kHarmMax, kHarmMax) : -kHarmMax;
    totals_.updates[client] += 1;
    totals_.gain[client] += static_cast<float>(gain);
    totals_.weight[client] += static_cast<float>(weights[k]);
    totals_.harmful[client] += gain < 0 ? 1.0F : 0.0F;
    totals_.copies[client] += copies[k] ? 1.0F : 0.0F;
  }
}

void Scoring::discard() {
  shelf_->clear();
  clients_.clear();
}

std::vector<learning::SlotView> Scoring::state() const {
  return scored_ ? totals_.slots() : std::vector<learning::SlotView>();
}

Status Scoring::restore(std::vector<learning::OptimizerState::Slot> state) {
  std::vector<learning::SlotView> views;
  views.reserve(state.size());
  for (const auto& slot : state) views.push_back({slot.name, slot.values});
  MUSTER_TRY(totals_.restore(views));
  scored_ = true;
  return {};
}

template std::vector<bool> copies_among(std::span<const float>, std::size_t);
template std::vector<bool> copies_among(std::span<const double>, std::size_t);

}  // namespace muster::agg
