#pragma once  // common/codec/error_feedback.h: what a frame leaves out is added to the next one
#include <memory>
#include <vector>

#include "common/codec/codec.h"

namespace muster::codec {

// Decorates the encoder of a codec C. For the values g of step t and the residual e:
//   p = g + e;  sends C(p);  e = p - decode(C(p)),  so that the sum of what was sent, plus e, is the sum of
//   all g.
// With it a biased codec (TopK, kSign) still reaches the optimum, and an unbiased one loses less. Seide et
// al., Interspeech 2014; Karimireddy et al., "Error feedback fixes signSGD", ICML 2019. For SparseCodec in
// float32 decode(C(p)) and e have no position in common, so their sum is p bit for bit.
//
// It stands for count values of a bucket, from `first` on: frames of any parts of them may be encoded, each
// at its place Key::first. In a compressed all-reduce each rank has one for its values, and one for the mean
// of the chunk that it reduces (feedback on both sides).
//
// The residual is part of a checkpoint. When the membership changes, whoever had it is another: flush() it
// into values that are sent dense, or reset() it and lose what one step leaves out. A value that is not
// finite leaves no residual: it was sent, and is not sent twice. Threads: parts that do not overlap may be
// encoded side by side, if the codec allows it.
class ErrorFeedback final : public Codec {
 public:
  ErrorFeedback(std::unique_ptr<Codec> codec, std::size_t count, std::uint64_t first = 0);

  [[nodiscard]] std::size_t encode(std::span<const float> values, const Key& key,
                                   std::span<std::byte> out) override;

  // [count]; ours. What was not sent yet.
  [[nodiscard]] std::span<float> residual() { return residual_; }
  [[nodiscard]] std::span<const float> residual() const { return residual_; }
  // Adds the residual to values, [count], and forgets it.
  void flush(std::span<float> values);
  void reset();

  // As the codec that is decorated. max_error(): of p.
  [[nodiscard]] Status decode(std::span<const std::byte> bytes, std::span<float> values) const override {
    return codec_->decode(bytes, values);
  }
  [[nodiscard]] Status decode_add(std::span<const std::byte> bytes, float weight,
                                  std::span<float> sums) const override {
    return codec_->decode_add(bytes, weight, sums);
  }
  [[nodiscard]] std::optional<std::size_t> wire_bytes(std::size_t count) const override {
    return codec_->wire_bytes(count);
  }
  [[nodiscard]] std::size_t max_wire_bytes(std::size_t count) const override {
    return codec_->max_wire_bytes(count);
  }
  [[nodiscard]] double max_error(double largest) const override { return codec_->max_error(largest); }

 private:
  [[nodiscard]] std::size_t encode_part(std::span<const float> values, std::span<float> residual,
                                        const Key& key, std::span<std::byte> out);

  std::unique_ptr<Codec> codec_;
  std::uint64_t first_;
  std::vector<float> residual_;
};

}  // namespace muster::codec
