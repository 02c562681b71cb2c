#pragma once  // learning/control_variate.h: SCAFFOLD: what corrects a client's steps, and how it is kept
#include <cstdint>
#include <span>

namespace muster::learning {

// Karimireddy et al. 2020, "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", Algorithm 1,
// option II. Client i keeps c_i, the server c, the mean of all c_i; all begin at 0. With x the model that a
// client downloaded and y what its K steps of SGD with learning rate eta made of it:
//   y   <- y - eta (g_i(y) - c_i + c)          K times
//   c_i <- c_i - c + (x - y) / (K eta)
//   x   <- x + eta_g mean(y_i - x),   c <- c + (|S| / N) mean(c_i's change)
// so that a client goes where all would go, and not to its own optimum. All vectors [P]. Computed in float64,
// rounded once. Real: float in programs, double in tests of formulas.

// gradient += c - c_i. An empty c_i is 0.
template <typename Real>
void correct_gradient(std::span<Real> gradient, std::span<const Real> control,
                      std::span<const Real> own_control);

// change = -c - delta / (K eta), delta being y - x: what c_i changes by. REQUIRES: steps >= 1,
// learning_rate > 0.
template <typename Real>
void control_change(std::span<const Real> delta, std::span<const Real> control, std::int64_t steps,
                    double learning_rate, std::span<Real> change);

// next = c + share mean_change; share: of the enrolled clients that took part. `next` may be either's memory.
template <typename Real>
void advance_control(std::span<const Real> control, std::span<const Real> mean_change, double share,
                     std::span<Real> next);

extern template void correct_gradient(std::span<float>, std::span<const float>, std::span<const float>);
extern template void correct_gradient(std::span<double>, std::span<const double>, std::span<const double>);
extern template void control_change(std::span<const float>, std::span<const float>, std::int64_t, double,
                                    std::span<float>);
extern template void control_change(std::span<const double>, std::span<const double>, std::int64_t, double,
                                    std::span<double>);
extern template void advance_control(std::span<const float>, std::span<const float>, double,
                                     std::span<float>);
extern template void advance_control(std::span<const double>, std::span<const double>, double,
                                     std::span<double>);

}  // namespace muster::learning
