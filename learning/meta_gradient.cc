// learning/meta_gradient.cc: two gradients, or four
#include "learning/meta_gradient.h"

#include <vector>

#include "common/base/check.h"

namespace muster::learning {
namespace {

// to = from + factor * direction.
template <typename Real>
void move_along(std::span<const Real> from, double factor, std::span<const Real> direction,
                std::span<Real> to) {
  for (std::size_t i = 0; i < to.size(); ++i)
    to[i] = static_cast<Real>(static_cast<double>(from[i]) + factor * static_cast<double>(direction[i]));
}

}  // namespace

template <typename Real>
double meta_gradient(const MetaSettings& settings, const BatchGradient<Real>& gradient_of,
                     std::span<const Real> parameters, std::span<Real> gradient) {
  MUSTER_CHECK(parameters.size() == gradient.size());
  std::vector<Real> point(parameters.size());
  static_cast<void>(gradient_of(MetaBatch::kAdaptation, parameters, gradient));
  move_along<Real>(parameters, -settings.alpha, gradient, point);
  const double loss = gradient_of(MetaBatch::kGradient, point, gradient);
  if (!settings.hessian_free) return loss;
  std::vector<Real> ahead(parameters.size());
  std::vector<Real> behind(parameters.size());
  move_along<Real>(parameters, kHessianDelta, gradient, point);
  static_cast<void>(gradient_of(MetaBatch::kHessian, point, ahead));
  move_along<Real>(parameters, -kHessianDelta, gradient, point);
  static_cast<void>(gradient_of(MetaBatch::kHessian, point, behind));
  const double factor = settings.alpha / (2 * kHessianDelta);
  for (std::size_t i = 0; i < gradient.size(); ++i)
    gradient[i] =
        static_cast<Real>(static_cast<double>(gradient[i]) -
                          factor * (static_cast<double>(ahead[i]) - static_cast<double>(behind[i])));
  return loss;
}

template double meta_gradient(const MetaSettings&, const BatchGradient<float>&, std::span<const float>,
                              std::span<float>);
template double meta_gradient(const MetaSettings&, const BatchGradient<double>&, std::span<const double>,
                              std::span<double>);

}  // namespace muster::learning
