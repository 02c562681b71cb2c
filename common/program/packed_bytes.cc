// common/program/packed_bytes.cc: the length, the bytes, zeros
#include "common/program/packed_bytes.h"

#include <cstdint>
#include <cstring>

namespace muster::program {

std::size_t floats_for(std::size_t bytes) {
  return (sizeof(std::uint64_t) + bytes + sizeof(float) - 1) / sizeof(float);
}

void pack(std::span<const std::byte> bytes, std::span<float> floats) {
  auto* to = reinterpret_cast<std::byte*>(floats.data());
  const std::uint64_t count = bytes.size();
  std::memset(to, 0, floats.size_bytes());
  std::memcpy(to, &count, sizeof count);
  if (!bytes.empty()) std::memcpy(to + sizeof count, bytes.data(), bytes.size());
}

Result<std::span<const std::byte>> unpack(std::span<const float> floats) {
  const auto from = std::as_bytes(floats);
  std::uint64_t count = 0;
  if (from.size() < sizeof count) return data_loss("a program's state is cut");
  std::memcpy(&count, from.data(), sizeof count);
  if (count > from.size() - sizeof count) return data_loss("a program's state is cut");
  return from.subspan(sizeof count, static_cast<std::size_t>(count));
}

}  // namespace muster::program
