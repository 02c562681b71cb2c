// worker/engine/agreement.cc: the choice, and how the state gets to all
#include "worker/engine/agreement.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "common/base/check.h"

namespace muster::worker {
namespace {

// float32 holds integers up to this exactly, so a number goes as two.
constexpr std::int64_t kDigit = 1 << 24;
constexpr std::size_t kFloats = 4;

struct WirePoint {
  std::int64_t at = 0;
  double loss = 0;
  double accuracy = 0;  // not a number: none
};

void write_number(std::span<float> digits, std::int64_t number) {
  MUSTER_CHECK(number >= 0 && number < kDigit * kDigit);
  const std::int64_t high = number / kDigit;
  digits[0] = static_cast<float>(high);
  digits[1] = static_cast<float>(number - high * kDigit);
}

// -1: no number.
std::int64_t read_number(std::span<const float> digits) {
  const auto is_digit = [](float value) { return value >= 0 && value < static_cast<float>(kDigit); };
  if (!is_digit(digits[0]) || !is_digit(digits[1])) return -1;
  return static_cast<std::int64_t>(digits[0]) * kDigit + static_cast<std::int64_t>(digits[1]);
}

}  // namespace

Choice choose(std::span<const Standing> standings) {
  const auto best = std::max_element(standings.begin(), standings.end());  // the first of equal ones
  // What comes from a checkpoint is the same on all only by chance.
  return {.root = static_cast<int>(best - standings.begin()),
          .all_have_it = best->membership > 0 &&
                         std::ranges::all_of(standings, [&](const Standing& one) { return one == *best; })};
}

Result<Choice> choose(Collective& collective, const Learnt& mine, Deadline deadline) {
  const auto ranks = static_cast<std::size_t>(collective.size());
  std::vector<float> told(ranks * kFloats);
  const auto of = [&](std::size_t rank) { return std::span(told).subspan(rank * kFloats, kFloats); };
  if (mine.state) {
    const auto slot = of(static_cast<std::size_t>(collective.rank()));
    write_number(slot.first(2), mine.membership);
    write_number(slot.last(2), mine.state->step);
  }
  MUSTER_TRY(collective.all_reduce_sum(told, Traffic::kControl, deadline));
  std::vector<Standing> standings;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    const Standing standing{.membership = read_number(of(rank).first(2)),
                            .step = read_number(of(rank).last(2))};
    if (standing.membership < 0 || standing.step < 0)
      return internal_error("rank " + std::to_string(rank) + " tells a membership and a step that are none");
    standings.push_back(standing);
  }
  return choose(standings);
}

Status share(Collective& collective, int root, std::span<float> parameters,
             const std::vector<learning::Optimizer::Slot>& slots, Deadline deadline) {
  MUSTER_TRY(collective.broadcast(std::as_writable_bytes(parameters), root, deadline));
  for (const auto& slot : slots)
    MUSTER_TRY(collective.broadcast(std::as_writable_bytes(slot.values), root, deadline));
  return {};
}

Status share(Collective& collective, int root, std::vector<learning::HistoryPoint>& points,
             std::int64_t count, Deadline deadline) {
  std::vector<WirePoint> wire(static_cast<std::size_t>(count));
  if (collective.rank() == root) {
    MUSTER_CHECK(std::ssize(points) == count);
    std::ranges::transform(points, wire.begin(), [](const learning::HistoryPoint& point) {
      return WirePoint{.at = point.at,
                       .loss = point.loss,
                       .accuracy = point.accuracy.value_or(std::numeric_limits<double>::quiet_NaN())};
    });
  }
  MUSTER_TRY(collective.broadcast(std::as_writable_bytes(std::span(wire)), root, deadline));
  points.clear();
  for (const WirePoint& point : wire) {
    points.push_back({.at = point.at,
                      .loss = point.loss,
                      .accuracy = std::isnan(point.accuracy) ? std::nullopt : std::optional(point.accuracy)});
  }
  return {};
}

}  // namespace muster::worker
