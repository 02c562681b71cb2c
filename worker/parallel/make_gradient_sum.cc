// worker/parallel/make_gradient_sum.cc: from the words of the spec
#include <fmt/format.h>

#include "worker/parallel/compressed_sum.h"
#include "worker/parallel/gradient_sum.h"
#include "worker/parallel/low_rank_sum.h"

namespace muster::worker {
namespace {

codec::Format format_of(const spec::Compression& compression) {
  switch (compression.quantization_bits) {
    case 16: return compression.format == "BFloat16" ? codec::Format::kBFloat16 : codec::Format::kFloat16;
    case 8: return codec::Format::kInt8;
    case 4: return compression.format == "E3M0" ? codec::Format::kE3M0 : codec::Format::kInt4;
    case 2: return codec::Format::kInt2;
    case 1: return codec::Format::kSign;
    default: return codec::Format::kFloat32;
  }
}

}  // namespace

Result<std::unique_ptr<GradientSum>> make_gradient_sum(const spec::Compression& compression,
                                                       Collective& collective,
                                                       std::span<const learning::Tensor> tensors,
                                                       const SumOptions& options) {
  if (compression.low_rank > 0)
    return std::make_unique<LowRankSum>(static_cast<std::size_t>(compression.low_rank), collective, tensors,
                                        options);
  if (!compression.by_codec()) return dense_sum(collective, options);
  codec::CodecOptions codec{.format = format_of(compression), .top_k_fraction = compression.top_k_fraction};
  if (compression.prune_below > 0) codec.prune_threshold = static_cast<float>(compression.prune_below);
  MUSTER_ASSIGN([[maybe_unused]] const auto possible, codec::make_codec(codec));
  return std::make_unique<CompressedSum>(codec, compression.error_feedback, collective, options);
}

}  // namespace muster::worker
