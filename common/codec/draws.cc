// common/codec/draws.cc: compiled with -O3, so that the loops are vectorised
#include "common/codec/draws.h"

#include <array>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace muster::codec {

namespace {

using Draws = std::span<std::uint16_t, kGroupValues>;

// Lane j of a vector is block j of the group.
template <typename Word>
struct Blocks {
  alignas(64) Word word[4][kBlocksPerGroup];
};

template <typename Word>
[[gnu::always_inline]] inline void to_draws(const Blocks<Word>& blocks, Draws draws) {
  std::uint16_t* out = draws.data();
  for (std::size_t w = 0; w < 4; ++w)
    for (std::size_t half = 0; half < 2; ++half, out += kBlocksPerGroup)
      for (std::size_t j = 0; j < kBlocksPerGroup; ++j)
        out[j] = static_cast<std::uint16_t>(blocks.word[w][j] >> (16 * half));
}

void draw_portable(const Key& key, std::uint32_t first_block, Draws draws) noexcept {
  Blocks<std::uint32_t> blocks;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (std::uint32_t j = 0; j < kBlocksPerGroup; ++j) {
    const PhiloxWords words = draw_block(key, first_block + j);
    for (std::size_t w = 0; w < 4; ++w) blocks.word[w][j] = words.word[w];
  }
  to_draws(blocks, draws);
}

#if defined(__x86_64__)
// In 64-bit lanes the product of two low halves comes out whole, and what stands above a word is never read:
// no shuffles, so half the time. Compilers do not find that by themselves: they cannot know that the upper
// halves do not count.
__attribute__((target("avx2"))) void draw_avx2(const Key& key, std::uint32_t first_block,
                                               Draws draws) noexcept {
  constexpr std::uint32_t kLanes = 4;
  constexpr std::uint32_t kVectors = 2;  // in flight, to hide the latency of a product
  const __m256i multiplier0 = _mm256_set1_epi64x(kPhiloxMultiplier0);
  const __m256i multiplier1 = _mm256_set1_epi64x(kPhiloxMultiplier1);
  Blocks<std::uint64_t> blocks;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (std::uint32_t j = 0; j < kBlocksPerGroup; j += kLanes * kVectors) {
    __m256i word[4][kVectors];
    for (std::uint32_t v = 0; v < kVectors; ++v) {
      const std::uint32_t block = first_block + j + v * kLanes;
      word[0][v] = _mm256_set_epi64x(block + 3, block + 2, block + 1, block);
      word[1][v] = _mm256_set1_epi64x(key.bucket);
      word[2][v] = _mm256_set1_epi64x(static_cast<std::int64_t>(key.step));
      word[3][v] = _mm256_set1_epi64x(static_cast<std::int64_t>(key.step >> 32));
    }
    auto key0 = static_cast<std::uint32_t>(key.seed);
    auto key1 = static_cast<std::uint32_t>(key.seed >> 32);
    for (int round = 0; round < kPhiloxRounds; ++round, key0 += kPhiloxWeyl0, key1 += kPhiloxWeyl1) {
      const __m256i keys0 = _mm256_set1_epi64x(key0);
      const __m256i keys1 = _mm256_set1_epi64x(key1);
      for (std::size_t v = 0; v < kVectors; ++v) {
        const __m256i product0 = _mm256_mul_epu32(word[0][v], multiplier0);
        const __m256i product1 = _mm256_mul_epu32(word[2][v], multiplier1);
        word[0][v] = _mm256_srli_epi64(product1, 32) ^ word[1][v] ^ keys0;
        word[2][v] = _mm256_srli_epi64(product0, 32) ^ word[3][v] ^ keys1;
        word[1][v] = product1;
        word[3][v] = product0;
      }
    }
    for (std::size_t w = 0; w < 4; ++w)
      for (std::size_t v = 0; v < kVectors; ++v)
        _mm256_store_si256(reinterpret_cast<__m256i*>(&blocks.word[w][j + v * kLanes]), word[w][v]);
  }
  to_draws(blocks, draws);
}

// The same, where the vectors of the compiler have a product of 64 bits.
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))) void draw_avx512(const Key& key,
                                                                               std::uint32_t first_block,
                                                                               Draws draws) noexcept {
  constexpr std::uint64_t kLow = 0xffff'ffffU;
  Blocks<std::uint64_t> blocks;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (std::uint64_t j = 0; j < kBlocksPerGroup; ++j) {
    std::uint64_t word[4] = {first_block + j, key.bucket, key.step, key.step >> 32};
    auto key0 = static_cast<std::uint32_t>(key.seed);
    auto key1 = static_cast<std::uint32_t>(key.seed >> 32);
    for (int round = 0; round < kPhiloxRounds; ++round, key0 += kPhiloxWeyl0, key1 += kPhiloxWeyl1) {
      const std::uint64_t product0 = kPhiloxMultiplier0 * (word[0] & kLow);
      const std::uint64_t product1 = kPhiloxMultiplier1 * (word[2] & kLow);
      word[0] = (product1 >> 32) ^ word[1] ^ key0;
      word[2] = (product0 >> 32) ^ word[3] ^ key1;
      word[1] = product1;
      word[3] = product0;
    }
    for (std::size_t w = 0; w < 4; ++w) blocks.word[w][j] = word[w];
  }
  to_draws(blocks, draws);
}
#endif

constexpr std::array kVersions = {
    DrawVersion{"portable", draw_portable},
#if defined(__x86_64__)
    DrawVersion{"avx2", draw_avx2},
    DrawVersion{"avx512", draw_avx512},
#endif
};

std::size_t runnable_versions() noexcept {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2")) return 1;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return avx512 ? 3 : 2;
#else
  return 1;
#endif
}

}  // namespace

std::span<const DrawVersion> draw_versions() noexcept {
  static const std::size_t kRunnable = runnable_versions();
  return std::span(kVersions).first(kRunnable);
}

void draw_group(const Key& key, std::uint64_t group, Draws draws) noexcept {
  draw_versions().back().draw(key, static_cast<std::uint32_t>(group * kBlocksPerGroup), draws);
}

}  // namespace muster::codec
