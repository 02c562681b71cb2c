#pragma once  // worker/parallel/part_codec.h: gradients to a parameter server, and parameters back, in fewer
              // bytes
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/codec/error_feedback.h"
#include "common/codec/make_codec.h"
#include "common/spec/training.h"

namespace muster::worker {

// What spec.compression says of codecs; nullopt: nothing.
[[nodiscard]] std::optional<codec::CodecOptions> codec_options_of(const spec::Compression& compression);

struct PartCodecOptions {
  codec::CodecOptions codec;
  bool error_feedback = true;  // of gradients: what a frame leaves out is added to the next one
  std::uint64_t seed = 0;      // of random roundings; each rank's own
};

// One server's part of `count` values, at one of its two ends. Upward a worker sends the frame of its
// gradient. Downward a server sends the frame of what its parameters are beyond those that the worker has,
// and knows so what the worker has afterwards: what one frame leaves out is in the next difference. Sparse
// frames go upward only, since what all workers changed together is not sparse. Both ends decide alike what
// is compressed, by the codec and the count. Not thread-safe.
class PartCodec {
 public:
  // REQUIRES: options that make_codec takes.
  PartCodec(const PartCodecOptions& options, std::size_t count, std::uint32_t part);

  // Whether frames are shorter; else values go as they are.
  [[nodiscard]] bool shortens_gradients() const { return shortens_; }
  [[nodiscard]] bool shortens_parameters() const { return shortens_ && fixed_.has_value(); }
  [[nodiscard]] std::size_t gradient_bytes_max() const { return codec_->max_wire_bytes(count_); }
  [[nodiscard]] std::size_t parameter_bytes() const { return fixed_.value_or(0); }  // of each frame downward

  // gradient: [count]. The frame; it stays until the next call.
  [[nodiscard]] std::span<const std::byte> encode_gradient(std::span<const float> gradient,
                                                           std::int64_t step);
  // Before a gradient that goes as it is: adds what was left out so far.
  void flush(std::span<float> gradient);
  // Errors, of both: kDataLoss: it is no frame; what is written to is then untouched.
  [[nodiscard]] Status decode_gradient(std::span<const std::byte> frame, std::span<float> gradient) const;
  [[nodiscard]] Status add_change(std::span<const std::byte> frame, std::span<float> parameters) const;
  // The frame that brings `view` [count], the parameters that `reader` has, closer to `parameters`; `view` is
  // what it has then. `frame` has room for parameter_bytes().
  void encode_change(std::span<const float> parameters, std::span<float> view, std::uint64_t reader,
                     std::int64_t step, std::span<std::byte> frame);

 private:
  std::unique_ptr<codec::Codec> codec_;
  std::unique_ptr<codec::ErrorFeedback> feedback_;  // of gradients; null: none
  std::size_t count_;
  std::uint32_t part_;
  std::uint64_t seed_;
  std::optional<std::size_t> fixed_;
  bool shortens_;
  std::vector<std::byte> frame_;
  std::vector<float> change_;
};

}  // namespace muster::worker
