#pragma once  // tests/aggregator/papers/fed_prox.h: FedProx's experiment on synthetic data (Li et al. 2020,
              // "Federated Optimization in Heterogeneous Networks", section 5)
#include <cstdint>
#include <vector>

#include "tests/aggregator/papers/federation.h"

namespace muster::papers {

// 30 devices, 10 of them a round, uniform; 20 epochs, batches of 10, rate 0.01.
struct FedProxSetting {
  double heterogeneity = 1;  // alpha and beta of the data
  bool iid = false;
  double mu = 0;
  int stragglers = 0;            // of the ten of a round; they make 1 to 19 epochs
  bool drop_stragglers = false;  // FedAvg does; FedProx takes what they have
};

struct FedProxRun {
  std::vector<double> losses;      // [rounds] of all training examples, after each round
  std::vector<double> accuracies;  // [rounds] of all test examples
  double gradient_variance = 0;    // mean over devices of ||grad F_k - grad f||^2, at the end

  [[nodiscard]] double final_loss(std::size_t last) const;  // mean of the last rounds
  [[nodiscard]] double final_accuracy(std::size_t last) const;
  [[nodiscard]] double rises() const;  // of the loss from a round to the next, summed: 0 is a smooth descent
};

// A function of its arguments. Runs of one seed share data, initial model, cohorts and who straggles.
[[nodiscard]] FedProxRun run_fed_prox(const FedProxSetting& setting, std::uint64_t seed, std::int64_t rounds);

}  // namespace muster::papers
