// common/codec/make_codec.cc
#include "common/codec/make_codec.h"

#include <cmath>

#include "common/codec/grouped_codec.h"
#include "common/codec/sparse_codec.h"

namespace muster::codec {

Result<std::unique_ptr<Codec>> make_codec(const CodecOptions& options) {
  if (!(options.top_k_fraction > 0 && options.top_k_fraction <= 1))
    return invalid_argument("the top-k fraction must be above 0 and at most 1");
  const bool top_k = options.top_k_fraction < 1;
  if (!options.prune_threshold) {
    if (top_k) return std::make_unique<SparseCodec>(TopK{options.top_k_fraction}, options.format);
    return std::make_unique<GroupedCodec>(options.format);
  }
  if (top_k)
    return invalid_argument("a top-k fraction and a pruning threshold exclude each other: leave one out");
  if (!(std::isfinite(*options.prune_threshold) && *options.prune_threshold >= 0))
    return invalid_argument("the pruning threshold must be a number that is not negative");
  return std::make_unique<SparseCodec>(Prune{*options.prune_threshold}, options.format);
}

}  // namespace muster::codec
