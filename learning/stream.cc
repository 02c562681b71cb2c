// learning/stream.cc: windows over the rows of a client, and their labels
#include "learning/stream.h"

#include <algorithm>
#include <vector>

#include "common/base/check.h"
#include "learning/held_out.h"

namespace muster::learning {
namespace {

std::int64_t arrived_by(const spec::Stream& stream, std::int64_t round) {
  return round < 1 ? 0 : stream.initial_examples + stream.examples_per_round * (round - 1);
}

std::int32_t shifted(std::int32_t label, const spec::LabelShift& shift, std::int64_t classes) {
  return static_cast<std::int32_t>((label + shift.by) % classes);
}

}  // namespace

StreamWindow window_of(const spec::Stream& stream, std::int64_t part, std::int64_t round) {
  MUSTER_CHECK(part >= 1 && round >= 1);
  StreamWindow window{.begin = 0, .end = arrived_by(stream, round)};
  if (stream.expire_after_rounds > 0)
    window.begin = arrived_by(stream, round - 1 - stream.expire_after_rounds);
  window.begin = std::max(window.begin, window.end - part);
  return window;
}

std::int64_t arrival_of(const spec::Stream& stream, std::int64_t number) {
  if (number < stream.initial_examples) return 1;
  return 2 + (number - stream.initial_examples) / stream.examples_per_round;
}

Examples held_in_round(const spec::Stream& stream, const Examples& data, std::span<const std::int64_t> order,
                       std::int64_t round) {
  const auto part = std::ssize(order);
  const StreamWindow window = window_of(stream, part, round);
  std::vector<std::int64_t> rows;
  for (std::int64_t number = window.begin; number < window.end; ++number)
    rows.push_back(order[static_cast<std::size_t>(number % part)]);
  Examples held = rows_of(data, rows);
  if (!stream.label_shift) return held;
  for (std::int64_t number = window.begin; number < window.end; ++number) {
    if (arrival_of(stream, number) < stream.label_shift->round) continue;
    std::int32_t& label = held.labels[static_cast<std::size_t>(number - window.begin)];
    label = shifted(label, *stream.label_shift, data.class_count);
  }
  return held;
}

void shift_labels(const spec::Stream& stream, std::int64_t round, Examples& examples) {
  if (!stream.label_shift || round < stream.label_shift->round) return;
  for (std::int32_t& label : examples.labels)
    label = shifted(label, *stream.label_shift, examples.class_count);
}

}  // namespace muster::learning
