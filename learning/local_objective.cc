// learning/local_objective.cc: the clients' part of FedProx and q-FedAvg, on flat vectors
#include "learning/local_objective.h"

#include <fmt/format.h>

#include <cmath>

#include "common/base/check.h"

namespace muster::learning {
namespace {

constexpr double kLossFloor = 1e-10;  // the authors' code: F^(q-1) is finite where a client has learnt it all

}  // namespace

Status validate(const LocalSettings& settings) {
  const auto sound = [](double value) { return std::isfinite(value) && value >= 0; };
  if (!sound(settings.proximal_mu))
    return invalid_argument(
        fmt::format("local training: mu is {}, must be at least 0", settings.proximal_mu));
  if (settings.fairness_q && !sound(*settings.fairness_q))
    return invalid_argument(fmt::format("local training: q is {}, must be at least 0", *settings.fairness_q));
  if (settings.meta && !(sound(settings.meta->alpha) && settings.meta->alpha > 0))
    return invalid_argument(
        fmt::format("local training: innerLearningRate is {}, must be above 0", settings.meta->alpha));
  return {};
}

template <typename Real>
void add_proximal_gradient(std::span<Real> gradient, std::span<const Real> parameters,
                           std::span<const Real> global, double mu) {
  MUSTER_CHECK(gradient.size() == parameters.size() && gradient.size() == global.size());
  const auto strength = static_cast<Real>(mu);
  for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] += strength * (parameters[i] - global[i]);
}

template <typename Real>
double make_fair(std::span<Real> delta, double loss, double q, double learning_rate) {
  double square = 0;
  for (const Real value : delta) square += static_cast<double>(value) * static_cast<double>(value);
  const double floored = loss + kLossFloor;
  const double growth = 1 + q * square / (learning_rate * floored);  // h / (L F^q)
  for (Real& value : delta) value = static_cast<Real>(static_cast<double>(value) / growth);
  return std::pow(floored, q) * growth;
}

template void add_proximal_gradient(std::span<float>, std::span<const float>, std::span<const float>, double);
template void add_proximal_gradient(std::span<double>, std::span<const double>, std::span<const double>,
                                    double);
template double make_fair(std::span<float>, double, double, double);
template double make_fair(std::span<double>, double, double, double);

}  // namespace muster::learning
