#pragma once  // learning/meta_gradient.h: the gradient of the loss after a step of adaptation
#include <functional>
#include <span>

namespace muster::learning {

// Fallah, Mokhtari & Ozdaglar 2020, "Personalized Federated Learning with Theoretical Guarantees: A
// Model-Agnostic Meta-Learning Approach", Algorithm 1 (Per-FedAvg): F(w) = f(w - alpha grad f(w)), so that a
// client who takes one step from w has a model of its own that is good.
struct MetaSettings {
  double alpha = 0;  // of the step of adaptation
  // False: the factor with the second derivative is dropped (FO). True: the product of Hessian and gradient
  // is taken from the difference of two gradients (HF), which costs two more.
  bool hessian_free = false;
  friend bool operator==(const MetaSettings&, const MetaSettings&) = default;
};

// How far the two points of HF lie apart, in gradients: large enough for float32, whose gradients are good to
// about 1e-7, so that the product is to 1e-4; its own error grows with the square.
inline constexpr double kHessianDelta = 1e-3;

// Writes the gradient of f at `parameters` [P], over batch D, D' or D'', to `gradient` [P]; returns the loss.
enum class MetaBatch { kAdaptation, kGradient, kHessian };
template <typename Real>
using BatchGradient =
    std::function<double(MetaBatch batch, std::span<const Real> parameters, std::span<Real> gradient)>;

// Writes (I - alpha H(w; D'')) grad f(w - alpha grad f(w; D); D') at w = `parameters` [P] to `gradient` [P],
// with H or without; returns the loss over D' after the adaptation. Memory: P values, 3 P with H. Real: float
// in programs, double in tests of formulas.
template <typename Real>
[[nodiscard]] double meta_gradient(const MetaSettings& settings, const BatchGradient<Real>& gradient_of,
                                   std::span<const Real> parameters, std::span<Real> gradient);

extern template double meta_gradient(const MetaSettings&, const BatchGradient<float>&, std::span<const float>,
                                     std::span<float>);
extern template double meta_gradient(const MetaSettings&, const BatchGradient<double>&,
                                     std::span<const double>, std::span<double>);

}  // namespace muster::learning
