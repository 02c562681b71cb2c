#pragma once  // common/codec/arithmetic.h: marks the functions that define what the bits of a frame are
#include <bit>
#include <cstdint>

// They are compiled for scalar, vector and GPU code from this one source and give the same bits in each: only
// exact operations and single IEEE roundings, in the order in which they are written. So whatever calls them
// is compiled with -ffp-contract=off (nvcc: -fmad=false --expt-relaxed-constexpr), and without -ffast-math.
// No branch: every one becomes a select.
#if defined(__CUDACC__)
#define MUSTER_ARITHMETIC __host__ __device__ __forceinline__ constexpr
#else
#define MUSTER_ARITHMETIC [[gnu::always_inline]] inline constexpr
#endif

namespace muster::codec {

inline constexpr std::uint32_t kSignBit = 0x8000'0000U;
inline constexpr std::uint32_t kInfinityBits = 0x7f80'0000U;
inline constexpr std::uint32_t kNanBits = 0x7fc0'0000U;

MUSTER_ARITHMETIC std::uint32_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }
MUSTER_ARITHMETIC float float_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }

// Orders floats by magnitude, as unsigned numbers: zero < subnormal < ... < infinity < NaN. So the largest of
// a group is not finite exactly if one of its values is not.
MUSTER_ARITHMETIC std::uint32_t magnitude_bits(float value) { return bits_of(value) & ~kSignBit; }

}  // namespace muster::codec
