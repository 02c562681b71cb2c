#pragma once  // worker/parallel/gossip.h: every peer keeps a model of its own, and averages it with its
              // neighbours'
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "worker/collective/collective.h"
#include "worker/parallel/gossip_graph.h"
#include "worker/parallel/synchronizer.h"

namespace muster::worker {

// D-PSGD: x_i becomes sum_j w_ij x_j - step(g_i(x_i)), where g_i is the gradient of its own examples. Nobody
// has all parameters in the middle: each peer sends its own, k bytes, to each neighbour. Source: Lian et al.,
// NeurIPS 2017. Losses and the wish to stop go around all ranks every kTalkSteps steps, as control traffic.
class Gossip final : public Synchronizer {
 public:
  static constexpr std::int64_t kTalkSteps = 8;

  struct Options {
    GossipGraph graph = GossipGraph::kRing;
    std::uint64_t seed = 0;                     // of random pairs
    std::chrono::milliseconds timeout{60'000};  // of one step's exchange
  };
  // Both outlive it.
  Gossip(Collective& peers, learning::Optimizer& optimizer, Options options)
      : peers_(peers), optimizer_(optimizer), options_(options) {}

  [[nodiscard]] bool keeps_own_parameters() const override { return true; }
  Status restore(const learning::OptimizerState& state) override {
    return learning::restore(optimizer_, state);
  }
  Result<learning::OptimizerState> capture() override { return learning::capture(optimizer_); }
  learning::OptimizerState kept() override { return learning::capture(optimizer_); }
  std::vector<learning::Optimizer::Slot> shared_slots() override { return {}; }
  void set_steps(std::int64_t /*steps*/) override {}
  Result<Ahead> begin(const Beginning& /*where*/, std::span<float> /*parameters*/) override {
    return Ahead{};
  }
  Result<StepSums> exchange(std::span<float> gradient, std::span<float> parameters,
                            const Step& step) override;
  void update(std::span<float> parameters, std::span<const float> gradient) override {
    if (has_gradient_) optimizer_.step(parameters, gradient);
  }
  Status finish() override { return {}; }
  [[nodiscard]] std::uint64_t payload_bytes_sent() const override { return peers_.bytes_sent().payload; }
  [[nodiscard]] std::optional<double> distance() const override { return distance_; }

 private:
  [[nodiscard]] Status average(std::span<float> parameters, std::int64_t step, SyncCost& cost);
  [[nodiscard]] Status talk(const Step& step, StepSums& sums);

  Collective& peers_;
  learning::Optimizer& optimizer_;
  Options options_;
  std::vector<float> models_;  // this peer's, then its neighbours'
  std::optional<double> distance_;
  std::optional<double> loss_;   // mean of all peers, when it was last told
  bool has_gradient_ = false;    // of the step under way: it had examples
  std::int64_t not_finite_ = 0;  // elements of its gradients, since the last talk
  std::int64_t steps_ = 0;       // since then
  bool stop_ = false;            // somebody was asked to; told with the next talk
};

}  // namespace muster::worker
