#pragma once  // worker/parallel/shard_message.h: what workers and parameter servers say to each other
#include <cstddef>
#include <cstdint>

#include "worker/collective/schedule.h"

namespace muster::worker {

// Goes ahead of a body of `bytes` bytes. All numbers in the order of this machine's bytes, as everywhere in a
// mesh: its ranks run one image.
struct ShardMessage {
  enum class Kind : std::uint16_t {
    // Of workers. Each has at most one message under way to a server that is answered.
    kBegin =
        1,     // rank 0 alone: `step` to begin with, `total` parameters; unless kKept their part as body, and
               // after them, with kSlots, the part of each optimizer slot, whose steps are `examples`
    kPush,     // a gradient of `examples` of `total` examples, with the sum of their losses: update `step`
    kPull,     // the parameters as they are; `step` >= 0: once the segment that begins there is open
    kSegment,  // rank 0 alone, asynchronous: updates `step` .. `total` - 1 come next; body: int64 those that
               // all servers have. Not answered
    kIdle,     // it has no more updates in this segment. Not answered
    kState,    // rank 0 alone: the optimizer's state
    kEnd,      // it has nothing more to ask. Not answered
    // Of servers.
    kBegun,  // all updates before `step` are done by all servers; body: ShardDone, of others that this one
             // has
    kParameters,  // to a push. body: its part of the parameters; `examples`, their digest and the sum of
                  // their
    // losses, of the update or of the segment so far; asynchronous, of shard 0: the batch to compute next in
    // `step`
    kPulled,     // to a pull: the same
    kOptimizer,  // its steps in `step`; body: its part of each slot
    // Of a server to the next one, which mirrors its part (mirror.h). Of the part they name: parameters of
    // the model in `total`, 0: it is not there; the membership in which it was uploaded in `position`, and
    // the updates since in `step`.
    kShard,   // what is here
    kPart,    // what is here, as body (encode_part)
    kUpdate,  // `step` of `examples` examples was made; body: its gradient; ShardState::base in `total`, its
              // position in `position`
    // And of that one in answer.
    kCopy,  // to kShard: what is there; body: the part, where the other has none
    kHave,  // to kPart and kUpdate: the updates in `step` are there, too
    kLeft,  // of each server to those beside it: no worker has anything more to ask, and nothing comes behind
  };
  enum Flag : std::uint16_t {
    kKept = 1,
    kSlots = 2,
    kStop = 4,
    kOver = 8,
    kFrame = 16,  // of kPush and kParameters: the body is a frame of a codec (part_codec.h)
  };

  static constexpr std::uint32_t kMagic = 0x4d505356U;  // "MPSV"
  std::uint32_t magic = kMagic;
  Kind kind = Kind::kBegin;
  std::uint16_t flags = 0;
  std::int64_t step = 0;
  std::int64_t examples = 0;
  std::int64_t total = 0;
  std::int64_t position = 0;    // examples trained on before `step`, in all epochs
  std::uint64_t rows = 0;       // of a push and its answer: digest of the examples (learning/ledger.h)
  std::int64_t not_finite = 0;  // likewise: elements of the gradients that were no finite numbers
  double loss = 0;
  std::uint64_t bytes = 0;
  [[nodiscard]] bool has(Flag flag) const { return (flags & flag) != 0; }
};
static_assert(sizeof(ShardMessage) == 72);

// Of examples and elements; what a server adds up stays below.
inline constexpr std::int64_t kCountMax = std::int64_t{1} << 53;
[[nodiscard]] constexpr bool is_count(std::int64_t told) { return told >= 0 && told <= kCountMax; }

struct ShardDone {
  std::int64_t step = 0;
  std::int64_t examples = 0;
};
static_assert(sizeof(ShardDone) == 16);
inline constexpr std::uint64_t kDoneMax = std::uint64_t{1}
                                          << 24;  // updates of a segment that a server tells of

// The part of `shard` of `parameters`: all servers' parts differ by one at most.
[[nodiscard]] inline Chunk shard_part(std::int64_t parameters, int shard, int shards) {
  return Extent{.elements = static_cast<std::size_t>(parameters)}.part(shard, shards);
}

}  // namespace muster::worker
