// worker/parallel/compressed_sum.cc: frames scattered, summed and gathered
#include "worker/parallel/compressed_sum.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/codec/wire_size.h"

namespace muster::worker {
namespace {

std::unique_ptr<codec::Codec> checked(Result<std::unique_ptr<codec::Codec>> made) {
  MUSTER_CHECK(made.has_value());  // make_gradient_sum has made one by the same options
  return *std::move(made);
}

// Another try may fare better: no data of the job is at fault.
Error of_peer(const Error& error, int peer) {
  return internal_error(fmt::format("what rank {} sent: {}", peer, error.message));
}

}  // namespace

CompressedSum::CompressedSum(codec::CodecOptions codec, bool error_feedback, Collective& collective,
                             const SumOptions& options)
    : codec_options_(codec),
      error_feedback_(error_feedback),
      collective_(collective),
      options_(options),
      decoder_(checked(codec::make_codec(codec))),
      dense_(dense_sum(collective, options)) {
  MUSTER_CHECK(options.bucket_elements % codec::kGroupValues == 0);
}

Chunk CompressedSum::chunk(std::size_t size, int rank) const {
  const Slice slice = codec::group_slice(static_cast<std::int64_t>(size), rank, collective_.size());
  return {.begin = static_cast<std::size_t>(slice.begin), .size = static_cast<std::size_t>(slice.size())};
}

// Ranks that shared a seed would round alike, and their errors would add up.
std::uint64_t CompressedSum::seed_of(std::uint64_t leg) const {
  return hash_key(hash_key(options_.seed, static_cast<std::uint64_t>(collective_.rank())), leg);
}

std::unique_ptr<codec::Codec> CompressedSum::encoder(std::size_t count, std::size_t first) const {
  auto codec = checked(codec::make_codec(codec_options_));
  if (!error_feedback_) return codec;
  return std::make_unique<codec::ErrorFeedback>(std::move(codec), count, first);
}

void CompressedSum::make_buckets(std::size_t elements) {
  const int rank = collective_.rank();
  (void)for_each_bucket(elements, 0, options_.bucket_elements,
                        [&](std::size_t first, std::size_t size, std::size_t /*riders*/) {
                          const Chunk mine = chunk(size, rank);
                          buckets_.push_back({.first = first,
                                              .size = size,
                                              .dense = !codec::compresses(*decoder_, size),
                                              .values = encoder(size, 0),
                                              .mean = encoder(mine.size, mine.begin)});
                          return Status();
                        });
}

Result<SyncCost> CompressedSum::sum(std::span<float> gradient, std::size_t riders, std::int64_t step,
                                    bool dense) {
  const std::size_t elements = gradient.size() - riders;
  if (collective_.size() == 1) return dense_->sum(gradient, riders, step, dense);
  if (buckets_.empty()) make_buckets(elements);
  if (dense && error_feedback_) {
    flush(gradient.first(elements));
    return dense_->sum(gradient, riders, step, dense);
  }
  SyncCost cost;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    Bucket& bucket = buckets_[i];
    const std::size_t behind = i + 1 == buckets_.size() ? riders : 0;
    const auto all = gradient.subspan(bucket.first, bucket.size + behind);
    if (bucket.dense) {
      MUSTER_ASSIGN(const SyncCost of_bucket, dense_->sum(all, behind, step, true));
      cost.payload_bytes += of_bucket.payload_bytes;
      ++cost.dense_buckets;
      continue;
    }
    MUSTER_ASSIGN(const std::uint64_t bytes,
                  sum(bucket, static_cast<std::uint32_t>(i), all.first(bucket.size), all.last(behind), step));
    cost.payload_bytes += bytes;
  }
  return cost;
}

Result<std::uint64_t> CompressedSum::sum(Bucket& bucket, std::uint32_t index, std::span<float> values,
                                         std::span<float> riders, std::int64_t step) {
  codec::Key key{.step = static_cast<std::uint64_t>(step), .bucket = index};
  Frames frames;
  key.seed = seed_of(0);
  MUSTER_TRY(scatter(bucket, key, values, riders, frames));
  std::uint64_t expected = 0;
  for (const Chunk& frame : frames.to) expected += frame.size;
  key.seed = seed_of(1);
  MUSTER_TRY(gather(bucket, key, values, frames));
  for (const Chunk& frame : frames.to) expected += frame.size;
  return expected;
}

// What each rank has of this rank's chunk is summed there, in order of rank.
Status CompressedSum::scatter(Bucket& bucket, const codec::Key& key, std::span<float> values,
                              std::span<float> riders, Frames& frames) {
  const auto ranks = static_cast<std::size_t>(collective_.size());
  const auto self = static_cast<std::size_t>(collective_.rank());
  const Chunk mine = chunk(bucket.size, collective_.rank());
  frames = {.to = std::vector<Chunk>(ranks), .from = std::vector<Chunk>(ranks)};
  const std::size_t slot = decoder_->max_wire_bytes(mine.size);
  std::size_t room = ranks * slot;
  for (std::size_t peer = 0; peer < ranks; ++peer)
    room += decoder_->max_wire_bytes(chunk(bucket.size, static_cast<int>(peer)).size);
  frames.all = room + (ranks + 1) * riders.size_bytes();
  if (memory_.size() < frames.all) memory_.resize(frames.all);
  std::size_t end = 0;
  for (std::size_t peer = 0; peer < ranks; ++peer) {
    if (peer == self) continue;
    const Chunk theirs = chunk(bucket.size, static_cast<int>(peer));
    codec::Key at = key;
    at.first = theirs.begin;
    const std::size_t size =
        bucket.values->encode(values.subspan(theirs.begin, theirs.size), at, std::span(memory_).subspan(end));
    frames.to[peer] = {.begin = end, .size = size};
    frames.from[peer] = {.begin = room - (peer + 1) * slot, .size = slot};
    end += decoder_->max_wire_bytes(theirs.size);
  }
  frames.payload = room;
  std::ranges::copy(std::as_bytes(riders), memory_.begin() + static_cast<std::ptrdiff_t>(room));
  MUSTER_TRY(exchange(frames, std::vector<std::size_t>(ranks, mine.size), riders.size_bytes()));
  const auto chunk_values = values.subspan(mine.begin, mine.size);
  std::vector<float> sums(riders.size(), 0.0F);
  for (std::size_t peer = 0; peer < ranks; ++peer) {
    std::vector<float> theirs(riders.begin(), riders.end());
    if (peer != self) {
      std::copy_n(memory_.begin() + static_cast<std::ptrdiff_t>(room + (peer + 1) * riders.size_bytes()),
                  riders.size_bytes(), std::as_writable_bytes(std::span(theirs)).begin());
      if (const Status added = decoder_->decode_add(bytes(frames.from[peer]), 1, chunk_values); !added)
        return of_peer(added.error(), static_cast<int>(peer));
    }
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += theirs[i];
  }
  std::ranges::copy(sums, riders.begin());
  return {};
}

// The sum of this rank's chunk goes to all, who take what the frame says, as this rank does.
Status CompressedSum::gather(Bucket& bucket, const codec::Key& key, std::span<float> values, Frames& frames) {
  const auto ranks = static_cast<std::size_t>(collective_.size());
  const auto self = static_cast<std::size_t>(collective_.rank());
  const Chunk mine = chunk(bucket.size, collective_.rank());
  codec::Key at = key;
  at.first = mine.begin;
  const auto chunk_values = values.subspan(mine.begin, mine.size);
  std::vector<std::size_t> counts(ranks);
  std::size_t end = decoder_->max_wire_bytes(mine.size);
  frames = {.to = std::vector<Chunk>(ranks), .from = std::vector<Chunk>(ranks)};
  for (std::size_t peer = 0; peer < ranks; ++peer) {
    if (peer == self) continue;
    counts[peer] = chunk(bucket.size, static_cast<int>(peer)).size;
    frames.from[peer] = {.begin = end, .size = decoder_->max_wire_bytes(counts[peer])};
    end += frames.from[peer].size;
  }
  if (memory_.size() < end) memory_.resize(end);
  frames.payload = frames.all = end;
  const Chunk frame{.begin = 0, .size = bucket.mean->encode(chunk_values, at, memory_)};
  for (std::size_t peer = 0; peer < ranks; ++peer)
    if (peer != self) frames.to[peer] = frame;
  MUSTER_TRY(exchange(frames, counts, 0));
  MUSTER_TRY(decoder_->decode(bytes(frame), chunk_values));
  for (std::size_t peer = 0; peer < ranks; ++peer) {
    if (peer == self) continue;
    const Chunk theirs = chunk(bucket.size, static_cast<int>(peer));
    const Status decoded =
        decoder_->decode(bytes(frames.from[peer]), values.subspan(theirs.begin, theirs.size));
    if (!decoded) return of_peer(decoded.error(), static_cast<int>(peer));
  }
  return {};
}

// `counts`: of the values in the frame that comes from each rank. Frames whose size depends on the values are
// preceded by their sizes.
Status CompressedSum::exchange(Frames& frames, std::span<const std::size_t> counts, std::size_t riders) {
  const int ranks = collective_.size();
  const int self = collective_.rank();
  std::vector<Collective::Parcel> to;
  std::vector<Collective::Parcel> from;
  if (!decoder_->wire_bytes(1)) {
    std::vector<std::uint32_t> sizes(2 * static_cast<std::size_t>(ranks));
    const auto place = [](std::size_t at) {
      return Chunk{.begin = at * sizeof(std::uint32_t), .size = sizeof(std::uint32_t)};
    };
    for (int peer = 0; peer < ranks; ++peer) {
      if (peer == self) continue;
      const auto index = static_cast<std::size_t>(peer);
      sizes[index] = static_cast<std::uint32_t>(frames.to[index].size);
      to.push_back({.peer = peer, .chunk = place(index)});
      from.push_back({.peer = peer, .chunk = place(static_cast<std::size_t>(ranks) + index)});
    }
    MUSTER_TRY(collective_.exchange(std::as_writable_bytes(std::span(sizes)), 0, 0, to, from,
                                    deadline_after(options_.timeout)));
    for (int peer = 0; peer < ranks; ++peer) {
      if (peer == self) continue;
      const std::size_t size = sizes[static_cast<std::size_t>(ranks) + static_cast<std::size_t>(peer)];
      Chunk& frame = frames.from[static_cast<std::size_t>(peer)];
      if (size > frame.size)
        return internal_error(fmt::format("rank {} announced a frame of {} bytes for {} values: at most {}",
                                          peer, size, counts[static_cast<std::size_t>(peer)], frame.size));
      frame.size = size;
    }
    to.clear();
    from.clear();
  }
  for (int peer = 0; peer < ranks; ++peer) {
    if (peer == self) continue;
    const auto index = static_cast<std::size_t>(peer);
    to.push_back({.peer = peer, .chunk = frames.to[index]});
    from.push_back({.peer = peer, .chunk = frames.from[index]});
    if (riders == 0) continue;
    to.push_back({.peer = peer, .chunk = {.begin = frames.payload, .size = riders}});
    from.push_back({.peer = peer, .chunk = {.begin = frames.payload + (index + 1) * riders, .size = riders}});
  }
  return collective_.exchange(std::span(memory_).first(frames.all), frames.payload, 0, to, from,
                              deadline_after(options_.timeout));
}

void CompressedSum::flush(std::span<float> values) {
  for (Bucket& bucket : buckets_) {
    const auto all = values.subspan(bucket.first, bucket.size);
    static_cast<codec::ErrorFeedback&>(*bucket.values).flush(all);
    const Chunk mine = chunk(bucket.size, collective_.rank());
    static_cast<codec::ErrorFeedback&>(*bucket.mean).flush(all.subspan(mine.begin, mine.size));
  }
}

}  // namespace muster::worker
