#pragma once  // learning/outer_step.h: one step of an optimizer on the difference that local training made.
              // Pure
#include <cstddef>
#include <span>
#include <vector>

namespace muster::learning {

// Clients or workers train on their own from w and come back with Delta, the mean of what they changed;
// -Delta is the gradient that the outer optimizer sees. m and v begin at the first step: m = 0, v = tau^2.
enum class OuterRule {
  kAdd,       // w += eta Delta. FedAvg, with eta = 1
  kMomentum,  // m = beta m + Delta, w += eta m. FedAvgM: Hsu, Qi & Brown 2019, section 4.3 (no 1 - beta)
  kNesterov,  // m = beta m + Delta, w += eta (Delta + beta m), as PyTorch's SGD. DiLoCo: Douillard et al.
              // 2023
  // Reddi et al. 2021, "Adaptive Federated Optimization", Algorithm 2: m = beta1 m + (1 - beta1) Delta,
  // w += eta m / (sqrt(v) + tau), without Adam's correction of the bias. v is elementwise
  kAdagrad,  // v += Delta^2
  kAdam,     // v = beta2 v + (1 - beta2) Delta^2
  kYogi,     // v -= (1 - beta2) Delta^2 sign(v - Delta^2)
};

struct OuterOptions {
  OuterRule rule = OuterRule::kAdd;
  double learning_rate = 1;  // eta
  double momentum = 0.9;     // beta of kMomentum and kNesterov
  double beta1 = 0.9;
  double beta2 = 0.99;
  double tau = 1e-3;
};

// What the rule remembers between steps, [P] each or empty. Real: float in programs; double where a test
// compares with formulas.
template <typename Real>
struct OuterState {
  std::vector<Real> first;   // m
  std::vector<Real> second;  // v
};

[[nodiscard]] bool keeps_first(OuterRule rule);
[[nodiscard]] bool keeps_second(OuterRule rule);

template <typename Real>
[[nodiscard]] OuterState<Real> initial_outer_state(const OuterOptions& options, std::size_t parameters);

// next [P] = `parameters` [P] moved by `delta` [P]; `state` goes a step on. `next` may be the memory of
// either. Computed in float64, rounded once to Real: the same inputs, the same bits. O(P), no memory.
template <typename Real>
void outer(const OuterOptions& options, std::span<const Real> parameters, std::span<const Real> delta,
           OuterState<Real>& state, std::span<Real> next);

extern template OuterState<float> initial_outer_state(const OuterOptions&, std::size_t);
extern template OuterState<double> initial_outer_state(const OuterOptions&, std::size_t);
extern template void outer(const OuterOptions&, std::span<const float>, std::span<const float>,
                           OuterState<float>&, std::span<float>);
extern template void outer(const OuterOptions&, std::span<const double>, std::span<const double>,
                           OuterState<double>&, std::span<double>);

}  // namespace muster::learning
