#pragma once  // common/codec/philox.h: Philox4x32-10, random words as a function of a counter and a key
#include <cstdint>

#include "common/codec/arithmetic.h"

namespace muster::codec {

struct PhiloxWords {
  std::uint32_t word[4];
};

inline constexpr std::uint32_t kPhiloxMultiplier0 = 0xD251'1F53U;
inline constexpr std::uint32_t kPhiloxMultiplier1 = 0xCD9E'8D57U;
inline constexpr std::uint32_t kPhiloxWeyl0 = 0x9E37'79B9U;  // the golden ratio
inline constexpr std::uint32_t kPhiloxWeyl1 = 0xBB67'AE85U;  // sqrt(3) - 1
inline constexpr int kPhiloxRounds = 10;

// Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; passes BigCrush. No
// state, so that any thread, lane or device draws any element's number by itself. Known answers:
// tests/common/codec.
MUSTER_ARITHMETIC PhiloxWords philox(PhiloxWords counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const std::uint64_t product0 = std::uint64_t{kPhiloxMultiplier0} * counter.word[0];
    const std::uint64_t product1 = std::uint64_t{kPhiloxMultiplier1} * counter.word[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0,
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1,
               static_cast<std::uint32_t>(product0)};
    key0 += kPhiloxWeyl0;
    key1 += kPhiloxWeyl1;
  }
  return counter;
}

}  // namespace muster::codec
