#pragma once  // learning/local_objective.h: what a strategy asks of its clients beside the training of the
              // spec
#include <optional>
#include <span>

#include "common/base/result.h"
#include "learning/meta_gradient.h"

namespace muster::learning {

// Each round's task brings them.
struct LocalSettings {
  // FedProx: the client minimizes F_k(w) + (mu / 2) ||w - w_t||^2, w_t being what it downloaded. 0: F_k
  // alone.
  double proximal_mu = 0;
  // q-FedAvg: the update is scaled and weighed by the client's loss. Absent: it is the plain difference.
  std::optional<double> fairness_q = std::nullopt;
  // Per-FedAvg: the client descends by meta_gradient. Absent: by its loss's own.
  std::optional<MetaSettings> meta = std::nullopt;
  // SCAFFOLD: behind the model comes the server's control variate, and behind the update the change of the
  // client's own (control_variate.h).
  bool control_variates = false;
  friend bool operator==(const LocalSettings&, const LocalSettings&) = default;
};

// Errors: kInvalidArgument: not finite, or negative.
[[nodiscard]] Status validate(const LocalSettings& settings);

// gradient [P] += mu (parameters - global): Li et al. 2020, "Federated Optimization in Heterogeneous
// Networks", Algorithm 2. mu and not mu/2: it is the derivative. Real: float in programs, double in tests of
// formulas.
template <typename Real>
void add_proximal_gradient(std::span<Real> gradient, std::span<const Real> parameters,
                           std::span<const Real> global, double mu);

// Li et al. 2020, "Fair Resource Allocation in Federated Learning", Algorithm 2 (q-FedAvg), on the client.
// With F the loss of the downloaded model on all of the client's examples plus 1e-10, L = 1 / learning_rate
// and grad = -L delta, the paper's client sends F^q grad and h = q F^(q-1) ||grad||^2 + L F^q, and its server
// moves by -sum(F^q grad) / sum(h). Here `delta` [P] becomes F^q delta L / h, the client's own step, and h /
// L is returned, its weight in the server's mean: the same step, but no value can grow beyond `delta`.
template <typename Real>
[[nodiscard]] double make_fair(std::span<Real> delta, double loss, double q, double learning_rate);

extern template void add_proximal_gradient(std::span<float>, std::span<const float>, std::span<const float>,
                                           double);
extern template void add_proximal_gradient(std::span<double>, std::span<const double>,
                                           std::span<const double>, double);
extern template double make_fair(std::span<float>, double, double, double);
extern template double make_fair(std::span<double>, double, double, double);

}  // namespace muster::learning
