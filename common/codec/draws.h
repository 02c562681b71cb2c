#pragma once  // common/codec/draws.h: the random numbers of a group at once, by the widest vectors of the CPU
#include <cstdint>
#include <span>

#include "common/codec/key.h"

namespace muster::codec {

// draws[i] = rounding_draw(), [kGroupValues], for the group with that number in its bucket. About as costly
// as all the rest of a stochastic rounding.
void draw_group(const Key& key, std::uint64_t group, std::span<std::uint16_t, kGroupValues> draws) noexcept;

struct DrawVersion {
  const char* name;
  void (*draw)(const Key& key, std::uint32_t first_block,
               std::span<std::uint16_t, kGroupValues> draws) noexcept;
};
// The implementations that this CPU can run; draw_group() takes the last. All give the same bits.
[[nodiscard]] std::span<const DrawVersion> draw_versions() noexcept;

}  // namespace muster::codec
