#pragma once  // common/codec/make_codec.h: the codec that a few options name
#include <memory>
#include <optional>

#include "common/codec/codec.h"
#include "common/codec/format.h"

namespace muster::codec {

struct CodecOptions {
  Format format = Format::kFloat32;  // of the values that are sent
  double top_k_fraction = 1;         // in (0, 1]; below 1 only so many are
  // Finite, >= 0: only values of larger magnitude are sent. Not with a top-k fraction.
  std::optional<float> prune_threshold = std::nullopt;
};

// A codec without state. Error feedback is put around it by the caller, who knows how many values there are.
// Errors: kInvalidArgument.
[[nodiscard]] Result<std::unique_ptr<Codec>> make_codec(const CodecOptions& options);

}  // namespace muster::codec
