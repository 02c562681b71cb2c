#pragma once  // common/program/packed_bytes.h: a program's state as one slot of an optimizer. Pure
#include <cstddef>
#include <span>

#include "common/base/result.h"

namespace muster::program {

// Bytes in a float vector: u64 their number, the bytes, zeros.
[[nodiscard]] std::size_t floats_for(std::size_t bytes);
void pack(std::span<const std::byte> bytes, std::span<float> floats);  // floats_for(bytes.size())
// kDataLoss: they carry none.
[[nodiscard]] Result<std::span<const std::byte>> unpack(std::span<const float> floats);

}  // namespace muster::program
