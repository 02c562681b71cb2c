// learning/control_variate.cc: three loops over flat vectors
#include "learning/control_variate.h"

#include "common/base/check.h"

namespace muster::learning {

template <typename Real>
void correct_gradient(std::span<Real> gradient, std::span<const Real> control,
                      std::span<const Real> own_control) {
  MUSTER_CHECK(control.size() == gradient.size());
  MUSTER_CHECK(own_control.empty() || own_control.size() == gradient.size());
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const double own = own_control.empty() ? 0.0 : static_cast<double>(own_control[i]);
    gradient[i] = static_cast<Real>(static_cast<double>(gradient[i]) - own + static_cast<double>(control[i]));
  }
}

template <typename Real>
void control_change(std::span<const Real> delta, std::span<const Real> control, std::int64_t steps,
                    double learning_rate, std::span<Real> change) {
  MUSTER_CHECK(steps >= 1 && learning_rate > 0);
  MUSTER_CHECK(delta.size() == change.size() && control.size() == change.size());
  const double way = static_cast<double>(steps) * learning_rate;
  for (std::size_t i = 0; i < change.size(); ++i)
    change[i] = static_cast<Real>(-static_cast<double>(control[i]) - static_cast<double>(delta[i]) / way);
}

template <typename Real>
void advance_control(std::span<const Real> control, std::span<const Real> mean_change, double share,
                     std::span<Real> next) {
  MUSTER_CHECK(control.size() == next.size() && mean_change.size() == next.size());
  for (std::size_t i = 0; i < next.size(); ++i)
    next[i] =
        static_cast<Real>(static_cast<double>(control[i]) + share * static_cast<double>(mean_change[i]));
}

template void correct_gradient(std::span<float>, std::span<const float>, std::span<const float>);
template void correct_gradient(std::span<double>, std::span<const double>, std::span<const double>);
template void control_change(std::span<const float>, std::span<const float>, std::int64_t, double,
                             std::span<float>);
template void control_change(std::span<const double>, std::span<const double>, std::int64_t, double,
                             std::span<double>);
template void advance_control(std::span<const float>, std::span<const float>, double, std::span<float>);
template void advance_control(std::span<const double>, std::span<const double>, double, std::span<double>);

}  // namespace muster::learning
