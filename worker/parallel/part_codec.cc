// worker/parallel/part_codec.cc: frames of gradients, and of what parameters changed
#include "worker/parallel/part_codec.h"

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/codec/wire_size.h"

namespace muster::worker {
namespace {

std::unique_ptr<codec::Codec> made_codec(const codec::CodecOptions& options) {
  auto made = codec::make_codec(options);
  MUSTER_CHECK(made.has_value());
  return *std::move(made);
}

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

std::optional<codec::CodecOptions> codec_options_of(const spec::Compression& compression) {
  if (!compression.by_codec()) return std::nullopt;
  codec::CodecOptions options{.format = format_of(compression), .top_k_fraction = compression.top_k_fraction};
  if (compression.prune_below > 0) options.prune_threshold = static_cast<float>(compression.prune_below);
  return options;
}

PartCodec::PartCodec(const PartCodecOptions& options, std::size_t count, std::uint32_t part)
    : codec_(made_codec(options.codec)),
      count_(count),
      part_(part),
      seed_(options.seed),
      fixed_(codec_->wire_bytes(count)),
      shortens_(codec::compresses(*codec_, count)) {
  if (options.error_feedback)
    feedback_ = std::make_unique<codec::ErrorFeedback>(made_codec(options.codec), count);
}

std::span<const std::byte> PartCodec::encode_gradient(std::span<const float> gradient, std::int64_t step) {
  MUSTER_CHECK(gradient.size() == count_);
  frame_.resize(gradient_bytes_max());
  codec::Codec& encoder = feedback_ ? *feedback_ : *codec_;
  const codec::Key key{.seed = hash_key(seed_, 0), .step = static_cast<std::uint64_t>(step), .bucket = part_};
  return std::span(frame_).first(encoder.encode(gradient, key, frame_));
}

void PartCodec::flush(std::span<float> gradient) {
  if (feedback_) feedback_->flush(gradient);
}

Status PartCodec::decode_gradient(std::span<const std::byte> frame, std::span<float> gradient) const {
  return codec_->decode(frame, gradient);
}

Status PartCodec::add_change(std::span<const std::byte> frame, std::span<float> parameters) const {
  return codec_->decode_add(frame, 1, parameters);
}

// The worker adds the same frame to the same values, and so has the same bits.
void PartCodec::encode_change(std::span<const float> parameters, std::span<float> view, std::uint64_t reader,
                              std::int64_t step, std::span<std::byte> frame) {
  MUSTER_CHECK(parameters.size() == count_ && view.size() == count_ && frame.size() == parameter_bytes());
  change_.resize(count_);
  for (std::size_t i = 0; i < count_; ++i) change_[i] = parameters[i] - view[i];
  const codec::Key key{.seed = hash_key(hash_key(seed_, 1), reader),
                       .step = static_cast<std::uint64_t>(step),
                       .bucket = part_};
  const std::size_t bytes = codec_->encode(change_, key, frame);
  MUSTER_CHECK(bytes == frame.size());
  const Status added = codec_->decode_add(frame, 1, view);
  MUSTER_CHECK(added.has_value());
}

}  // namespace muster::worker
