#pragma once  // aggregator/strategy/krum.h: the updates that lie closest to the others
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace muster::agg {

// Blanchard, El Mhamdi, Guerraoui & Stainer 2017, "Machine Learning with Adversaries". Of n updates up to f
// may be anything; n >= 2 f + 3. The same updates in another order give the same scores, to the bit.

// Of each update of `updates` [n, P] row-major: the sum of the squared distances to its n - f - 2 closest
// others. O(n^2 P) time, 8 n^2 bytes. REQUIRES: n >= f + 3. Real: float in programs, double in tests of
// formulas.
template <typename Real>
[[nodiscard]] std::vector<double> krum_scores(std::span<const Real> updates, std::size_t n, std::size_t f);

// The rows of the m smallest scores, best first; of equals the one of the client with the smaller number. m =
// 1 is Krum, more is Multi-Krum.
[[nodiscard]] std::vector<std::size_t> krum_choice(std::span<const double> scores,
                                                   std::span<const std::int32_t> clients, std::size_t m);

// The mean of the chosen rows, every one counting alike.
void mean_of_rows(std::span<const float> updates, std::span<const std::size_t> rows, std::span<float> mean);

extern template std::vector<double> krum_scores(std::span<const float>, std::size_t, std::size_t);
extern template std::vector<double> krum_scores(std::span<const double>, std::size_t, std::size_t);

}  // namespace muster::agg
