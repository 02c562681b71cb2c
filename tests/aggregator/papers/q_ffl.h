#pragma once  // tests/aggregator/papers/q_ffl.h: q-FFL's experiment on synthetic data (Li et al. 2020, "Fair
              // Resource Allocation in Federated Learning", table 1)
#include <cstdint>

#include "tests/aggregator/papers/federation.h"

namespace muster::papers {

struct Fairness {          // of the devices' accuracies on test examples of their own
  double accuracy = 0;     // percent, of all test examples
  double worst_tenth = 0;  // percent, mean of the lowest tenth of the devices
  double best_tenth = 0;
  double variance = 0;  // of percentages
};

struct QFflRun {
  Fairness last;  // after the last round
  Fairness mean;  // of forty models of the second half of the rounds
};

// 100 devices of Synthetic(1, 1) with sizes of LogNormal(4, 1) + 50 (with the 2 of FedProx's data the table
// is not that of the paper), 80 % trained on and 10 % tested; 10 devices a round, drawn by size without
// replacement, which is biased; one epoch, batches of 10, rate 0.1. A function of its arguments; runs of one
// seed share data, initial model and cohorts.
[[nodiscard]] QFflRun run_q_ffl(double q, std::uint64_t seed, std::int64_t rounds);

}  // namespace muster::papers
