#pragma once  // common/base/random.h: counter-based random numbers: a draw is a function of its key
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <utility>

namespace muster {

// SplitMix64's finalizer: a bijection on 64 bits. Steele, Lea & Flood, OOPSLA 2014.
[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// One key out of several numbers, e.g. hash_key(seed, epoch, rank); order matters.
template <typename... Parts>
[[nodiscard]] constexpr std::uint64_t hash_key(std::uint64_t first, Parts... rest) {
  std::uint64_t key = mix64(first + 0x9e3779b97f4a7c15ULL);
  ((key = mix64(key ^ (static_cast<std::uint64_t>(rest) + 0x9e3779b97f4a7c15ULL))), ...);
  return key;
}

// A stream of draws from one key: the same on every machine and compiler, unlike std::*_distribution.
class Random {
 public:
  explicit constexpr Random(std::uint64_t key) : state_(key) {}

  [[nodiscard]] constexpr std::uint64_t next() { return mix64(state_ += 0x9e3779b97f4a7c15ULL); }

  // Uniform in [0, 1), 53 bits.
  [[nodiscard]] constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  // Uniform in [0, bound), bound >= 1; Lemire's rejection, unbiased.
  [[nodiscard]] constexpr std::uint64_t below(std::uint64_t bound) {
    __extension__ using Wide = unsigned __int128;
    const std::uint64_t threshold = (0 - bound) % bound;
    while (true) {
      const Wide product = static_cast<Wide>(next()) * bound;
      if (static_cast<std::uint64_t>(product) >= threshold) return static_cast<std::uint64_t>(product >> 64);
    }
  }

  // Standard normal, Box-Muller (one of the pair is dropped, so a draw costs two uniforms, always).
  [[nodiscard]] double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

  // Gamma(shape, 1), Marsaglia & Tsang 2000; shape > 0.
  [[nodiscard]] double gamma(double shape) {
    if (shape < 1.0) return gamma(shape + 1.0) * std::pow(1.0 - uniform(), 1.0 / shape);
    const double d = shape - 1.0 / 3.0;
    const double c = 1.0 / std::sqrt(9.0 * d);
    while (true) {
      const double x = normal();
      const double v = std::pow(1.0 + c * x, 3);
      if (v > 0 && std::log(1.0 - uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
    }
  }

  template <typename T>
  constexpr void shuffle(std::span<T> items) {  // Fisher-Yates
    for (std::uint64_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::uint64_t state_;
};

}  // namespace muster
