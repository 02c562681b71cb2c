#pragma once  // worker/parallel/riders.h: what rides behind a gradient, and comes out summed like it
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace muster::worker {

// A count that a peer has told as a float, whatever that is; 0: none.
[[nodiscard]] inline std::int64_t count_told(float told) {
  return told >= 0 && told < 9e18F ? static_cast<std::int64_t>(told) : 0;
}

// As float32, whose sums over ranks are exact up to 2^24: the digest goes byte by byte, which makes it exact
// for 65,000 ranks. Counts beyond that are rounded.
struct Riders {
  static constexpr std::size_t kSize = 11;
  using Floats = std::array<float, kSize>;

  float loss = 0;  // sum over the examples
  bool stop = false;
  std::int64_t not_finite = 0;
  std::uint64_t rows = 0;  // digest (learning/ledger.h)

  [[nodiscard]] Floats floats() const {
    Floats out{loss, stop ? 1.0F : 0.0F, static_cast<float>(not_finite)};
    for (std::size_t i = 0; i < 8; ++i) out[3 + i] = static_cast<float>(rows >> (8 * i) & 0xffU);
    return out;
  }
  // Of the sums.
  [[nodiscard]] static Riders of(std::span<const float, kSize> sums) {
    Riders riders{.loss = sums[0], .stop = sums[1] > 0, .not_finite = count_told(sums[2])};
    for (std::size_t i = 0; i < 8; ++i)
      riders.rows += static_cast<std::uint64_t>(count_told(sums[3 + i])) << (8 * i);
    return riders;
  }
};

}  // namespace muster::worker
