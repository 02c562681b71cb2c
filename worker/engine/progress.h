#pragma once  // worker/engine/progress.h: how a training goes, as its loop tells after each step
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "learning/ledger.h"
#include "learning/model.h"

namespace muster::worker {

// What the training thread spends its time on.
enum class Activity : std::size_t {
  kGradient,    // forward and backward pass
  kExchange,    // waiting for other ranks and the network: communication that nothing hides
  kUpdate,      // the optimizer's step
  kEvaluation,  // of the test examples
  kCheckpoint,  // copying the state, waiting for the checkpoint before; writing goes on beside
};
inline constexpr std::array<std::string_view, 5> kActivities{"gradient", "exchange", "update", "evaluation",
                                                             "checkpoint"};

// Which rank takes longest for a gradient, and how many times as long as the median one. Waiting for others
// is no part of it, so that the one that all wait for stands out.
struct Slowest {
  int rank = 0;
  double slowdown = 1;  // >= 1
  double mine = 1;      // this rank's time, in the median's
};

// In which step elements of gradients were no finite numbers, and of which rank: the first of those that had
// any, with how many it had. Where ranks tell each other less often, in which of the `steps` up to `step`
// nobody knows.
struct NotFinite {
  std::int64_t step = 0;
  std::int64_t steps = 1;
  int rank = 0;
  std::int64_t elements = 0;
};
[[nodiscard]] std::string steps_of(const NotFinite& first);  // "at step 5", "in steps 2 to 9"

struct Progress {
  std::int64_t step = 0;
  std::int64_t total_steps = 0;
  double epoch = 0;
  double loss = 0;                           // of the last global batch
  std::optional<learning::Evaluation> test;  // the last evaluation
  double examples_per_second = 0;            // of the whole job, smoothed over some seconds
  std::uint64_t payload_bytes_sent = 0;
  std::uint64_t payload_bytes_expected = 0;
  std::uint64_t gradient_bytes = 0;
  std::string_view topology;   // by which gradients are summed; empty: none are
  double trained_seconds = 0;  // of the steps that the parameters hold, in whatever process and membership
  std::optional<Slowest> slowest;    // of the ranks, for the last steps
  std::optional<double> distance;    // Synchronizer::distance
  std::int64_t outer_steps = 0;      // since this loop began, where there are local ones between them
  std::int64_t dense_buckets = 0;    // since this loop began: compression would have sent more
  std::int64_t not_finite = 0;       // elements of gradients, of all ranks; since this loop began
  std::int64_t mine_not_finite = 0;  // of this rank
  std::optional<NotFinite> first_not_finite;
  // Of the epochs that this rank's parameters hold; nullopt: each rank has examples of its own.
  std::optional<learning::Ledger> ledger;
  std::int64_t resumed_from_step = 0;
  std::int64_t checkpoints_skipped = 0;              // because the one before was still being written
  std::array<double, kActivities.size()> seconds{};  // by Activity, since this loop began
};

}  // namespace muster::worker
