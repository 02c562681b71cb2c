#pragma once  // learning/stream.h: what a device holds while its data grows and expires. Pure
#include <cstdint>
#include <span>

#include "common/spec/personalization.h"
#include "learning/dataset.h"

namespace muster::learning {

// Examples of its stream that a client holds in a round: numbers [begin, end), counted from its first one.
struct StreamWindow {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
// `part`: examples of the client's part of the data, >= 1, of which the stream is made again and again; it
// holds no more than so many, the newest. `round` >= 1. Never empty.
[[nodiscard]] StreamWindow window_of(const spec::Stream& stream, std::int64_t part, std::int64_t round);
// The round in which example `number` of a stream came.
[[nodiscard]] std::int64_t arrival_of(const spec::Stream& stream, std::int64_t number);

// What a client holds in `round`; `order`: the rows of its part, as they come. Labels of what came from the
// shift's round on are shifted.
[[nodiscard]] Examples held_in_round(const spec::Stream& stream, const Examples& data,
                                     std::span<const std::int64_t> order, std::int64_t round);
// label + by, modulo the classes, where `round` is the shift's or a later one.
void shift_labels(const spec::Stream& stream, std::int64_t round, Examples& examples);

}  // namespace muster::learning
