// worker/shell/group_side.cc: a program's calls on the mesh
#include "worker/shell/group_side.h"

#include <fmt/format.h>

#include <cstring>
#include <vector>

#include "common/base/random.h"

namespace muster::worker {
namespace {

using program::Collect;
using std::chrono::milliseconds;

constexpr milliseconds kLook{100};  // how soon a wish to stop is seen while the program computes

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

Status GroupSide::serve(const std::function<bool()>& stopped,
                        const std::function<void(const GroupProgress&)>& show) {
  MUSTER_ASSIGN(const Settled settled, collective_.settle(link_.parameters().size() / 2, "", timeout_));
  progress_.topology = settled.topology;
  for (;;) {
    MUSTER_ASSIGN(const auto message, link_.next(deadline_after(kLook)));
    if (stopped()) return aborted("this worker was asked to stop");
    if (!message) {
      show(progress_);
      continue;
    }
    if (message->frame.kind != program::Kind::kCollect)
      return data_loss("the program of this pod asks for something else than a collective");
    const program::Collective asked = program::read_collect(message->frame);
    if (asked.kind == Collect::kDone) {
      show(progress_);
      return {};
    }
    const Status made = run(asked);
    std::string why = made ? std::string() : made.error().message.substr(0, program::kTextMax);
    if (!made && made.error().code == Code::kAborted)
      why.insert(0, "the ranks have changed, as one was lost or the job was scaled: ");
    MUSTER_TRY(link_.tell({.kind = program::Kind::kCollected}, bytes_of(why)));
    MUSTER_TRY(made);
    ++progress_.calls;
    progress_.sent = collective_.bytes_sent();
  }
}

Status GroupSide::run(const program::Collective& asked) {
  const Deadline deadline = deadline_after(timeout_);
  const std::span<float> room = link_.parameters();
  const auto bytes = static_cast<std::size_t>(asked.bytes);
  const bool fits = asked.bytes >= 0 && bytes <= room.size_bytes();
  const bool compressed = asked.kind == Collect::kCompressedSum;
  const bool root = asked.root >= 0 && asked.root < (compressed ? kSumsMax : collective_.size());
  if (!fits || !root || ((compressed || asked.kind == Collect::kSum) && bytes % sizeof(float) != 0))
    return invalid_argument(fmt::format(
        "the program asks for a collective of {} bytes from rank, or of number, {}, in {} bytes of {} ranks",
        asked.bytes, asked.root, room.size_bytes(), collective_.size()));
  switch (asked.kind) {
    case Collect::kSum: {
      const auto values = room.first(bytes / sizeof(float));
      progress_.payload_bytes_expected += collective_.all_reduce_bytes(values.size());
      return collective_.all_reduce_sum(values, Traffic::kPayload, deadline);
    }
    case Collect::kCompressedSum: return compressed_sum(room.first(bytes / sizeof(float)), asked.root);
    case Collect::kBroadcast:
      return collective_.broadcast(std::as_writable_bytes(room).first(bytes), static_cast<int>(asked.root),
                                   deadline);
    case Collect::kGather: return gather(bytes, deadline);
    case Collect::kBarrier: return collective_.barrier(deadline);
    case Collect::kDone: break;
  }
  return invalid_argument("the program asks for a collective that does not exist");
}

// By make_gradient_sum, as in Muster's own training. A number whose size changes begins anew: DDP lays its
// buckets anew after the first step.
Status GroupSide::compressed_sum(std::span<float> values, std::int64_t number) {
  Sum& sum = sums_[number];
  if (!sum.sum || sum.count != values.size()) {
    const SumOptions options{.timeout = timeout_,
                             .seed = hash_key(seed_, static_cast<std::uint64_t>(number))};
    MUSTER_ASSIGN(auto made, make_gradient_sum(compression_, collective_, {}, options));
    // The program shares the memory, and codecs look at values more than once.
    sum = {.count = values.size(),
           .sum = compression_.by_codec() ? copying_sum(std::move(made)) : std::move(made)};
  }
  MUSTER_ASSIGN(const SyncCost cost, sum.sum->sum(values, 0, ++sum.steps, false));
  progress_.payload_bytes_expected += cost.payload_bytes;
  ++progress_.compressed_calls;
  return {};
}

// Each rank's part to all others, where it belongs.
Status GroupSide::gather(std::size_t bytes, Deadline deadline) {
  const auto memory = std::as_writable_bytes(link_.gradient().first(link_.parameters().size()));
  const auto ranks = static_cast<std::size_t>(collective_.size());
  if (bytes > memory.size() / ranks)
    return invalid_argument(
        fmt::format("the program gathers {} bytes of {} ranks, in {}", bytes, ranks, memory.size()));
  const auto mine = static_cast<std::size_t>(collective_.rank());
  if (bytes > 0) std::memcpy(memory.data() + mine * bytes, link_.parameters().data(), bytes);
  std::vector<Collective::Parcel> to;
  std::vector<Collective::Parcel> from;
  to.reserve(ranks);
  from.reserve(ranks);
  for (std::size_t peer = 0; peer < ranks; ++peer) {
    if (peer == mine) continue;  // of no bytes the headers go, which say so
    to.push_back({.peer = static_cast<int>(peer), .chunk = {.begin = mine * bytes, .size = bytes}});
    from.push_back({.peer = static_cast<int>(peer), .chunk = {.begin = peer * bytes, .size = bytes}});
  }
  progress_.payload_bytes_expected += bytes * (ranks - 1);
  return collective_.exchange(memory.first(ranks * bytes), ranks * bytes, bytes, to, from, deadline);
}

}  // namespace muster::worker
