#pragma once  // worker/parallel/compressed_sum.h: sums by codecs: each rank reduces a part of all gradients
#include <memory>
#include <vector>

#include "common/codec/codec.h"
#include "common/codec/error_feedback.h"
#include "common/codec/make_codec.h"
#include "worker/parallel/gradient_sum.h"

namespace muster::worker {

// A bucket is cut into a chunk a rank. Each rank sends its frame of every chunk to the chunk's rank, which
// decodes and sums them in float32, in order of rank, and sends a frame of the sum to all. So there are two
// roundings whatever the number of ranks is. (A ring would round n - 1 times.) Feedback is kept on both
// sides. Sent by a rank: its frames of the others' chunks, and n - 1 times that of its own chunk's sum.
// Where frames would not be shorter than floats, the bucket goes dense.
class CompressedSum final : public GradientSum {
 public:
  CompressedSum(codec::CodecOptions codec, bool error_feedback, Collective& collective,
                const SumOptions& options);
  Result<SyncCost> sum(std::span<float> gradient, std::size_t riders, std::int64_t step, bool dense) override;

 private:
  struct Bucket {
    std::size_t first = 0;  // in the gradient
    std::size_t size = 0;
    bool dense = false;  // compression would send more
    std::unique_ptr<codec::Codec> values;
    std::unique_ptr<codec::Codec> mean;  // of the chunk that this rank sums
  };
  struct Frames {  // of one leg, in memory_; by rank, empty: none
    std::vector<Chunk> to;
    std::vector<Chunk> from;
    std::size_t payload = 0;  // bytes of memory_ that hold frames
    std::size_t all = 0;      // with the riders behind
  };

  void make_buckets(std::size_t elements);
  [[nodiscard]] std::unique_ptr<codec::Codec> encoder(std::size_t count, std::size_t first) const;
  [[nodiscard]] Result<std::uint64_t> sum(Bucket& bucket, std::uint32_t index, std::span<float> values,
                                          std::span<float> riders, std::int64_t step);
  [[nodiscard]] Status scatter(Bucket& bucket, const codec::Key& key, std::span<float> values,
                               std::span<float> riders, Frames& frames);
  [[nodiscard]] Status gather(Bucket& bucket, const codec::Key& key, std::span<float> values, Frames& frames);
  [[nodiscard]] Status exchange(Frames& frames, std::span<const std::size_t> counts, std::size_t riders);
  void flush(std::span<float> values);
  [[nodiscard]] Chunk chunk(std::size_t size, int rank) const;
  [[nodiscard]] std::span<std::byte> bytes(const Chunk& chunk) {
    return std::span(memory_).subspan(chunk.begin, chunk.size);
  }
  [[nodiscard]] std::uint64_t seed_of(std::uint64_t leg) const;

  codec::CodecOptions codec_options_;
  bool error_feedback_;
  Collective& collective_;
  SumOptions options_;
  std::unique_ptr<codec::Codec> decoder_;
  std::unique_ptr<GradientSum> dense_;
  std::vector<Bucket> buckets_;
  std::vector<std::byte> memory_;
};

}  // namespace muster::worker
