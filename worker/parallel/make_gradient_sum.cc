// worker/parallel/make_gradient_sum.cc: from the words of the spec
#include "worker/parallel/compressed_sum.h"
#include "worker/parallel/gradient_sum.h"
#include "worker/parallel/low_rank_sum.h"
#include "worker/parallel/part_codec.h"

namespace muster::worker {
Result<std::unique_ptr<GradientSum>> make_gradient_sum(const spec::Compression& compression,
                                                       Collective& collective,
                                                       std::span<const learning::Tensor> tensors,
                                                       const SumOptions& options) {
  if (compression.low_rank > 0)
    return std::make_unique<LowRankSum>(static_cast<std::size_t>(compression.low_rank), collective, tensors,
                                        options);
  const auto codec = codec_options_of(compression);
  if (!codec) return dense_sum(collective, options);
  MUSTER_ASSIGN([[maybe_unused]] const auto possible, codec::make_codec(*codec));
  return std::make_unique<CompressedSum>(*codec, compression.error_feedback, collective, options);
}

}  // namespace muster::worker
