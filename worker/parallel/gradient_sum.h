#pragma once  // worker/parallel/gradient_sum.h: the sum of the ranks' gradients, as it is or compressed
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "common/spec/training.h"
#include "learning/model.h"
#include "worker/collective/collective.h"
#include "worker/parallel/synchronizer.h"

namespace muster::worker {

// One a rank and membership; all ranks make the same calls. What a compressed sum leaves out is kept for the
// next steps, where the spec asks for error feedback: it belongs to this rank's part of the batches, and is
// lost with the membership.
class GradientSum {
 public:
  virtual ~GradientSum() = default;
  // gradient: [P + riders]. The first P become their sum over ranks, or what compression makes of it; the
  // riders their sum in float32. The same bits on every rank. `dense`: what was
  // left out before is sent, too. Errors: the collective's; kInternal: what a peer sent is no frame.
  [[nodiscard]] virtual Result<SyncCost> sum(std::span<float> gradient, std::size_t riders, std::int64_t step,
                                             bool dense) = 0;
};

struct SumOptions {
  std::chrono::milliseconds timeout{60'000};       // of one collective call
  std::size_t bucket_elements = 16 * 1024 * 1024;  // of one call; bounds what a slow link holds up
  std::uint64_t seed = 0;                          // of random roundings
};

// Calls `body` for the buckets of `elements`: their first, size, and the riders behind, which go with the
// last one.
using BucketBody = std::function<Status(std::size_t first, std::size_t size, std::size_t riders)>;
[[nodiscard]] Status for_each_bucket(std::size_t elements, std::size_t riders, std::size_t bucket_elements,
                                     const BucketBody& body);

// Each bucket is one all-reduce of the collective's topology.
[[nodiscard]] std::unique_ptr<GradientSum> dense_sum(Collective& collective, const SumOptions& options);
// Of a gradient in memory that somebody else may write to at any moment: a private copy of it is summed, so
// that what reads values twice finds the same ones.
[[nodiscard]] std::unique_ptr<GradientSum> copying_sum(std::unique_ptr<GradientSum> sum);
// What the spec asks for: dense, by codecs or by low rank. `tensors`: of the model, in order.
// Errors: kInvalidArgument.
[[nodiscard]] Result<std::unique_ptr<GradientSum>> make_gradient_sum(
    const spec::Compression& compression, Collective& collective, std::span<const learning::Tensor> tensors,
    const SumOptions& options);

}  // namespace muster::worker
