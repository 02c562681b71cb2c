#pragma once  // worker/parallel/shard.h: a parameter server's part of the parameters, and when it answers
              // whom
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "worker/parallel/mirror.h"
#include "worker/parallel/part_codec.h"
#include "worker/parallel/shard_message.h"
#include "worker/parallel/shard_state.h"

namespace muster::worker {

struct ShardOptions {
  int shard = 0;  // 0 <= shard < shards
  int shards = 1;
  int workers = 1;
  bool asynchronous = false;
  // Asynchronous: a worker is at most so many updates ahead of the slowest. Absent: of any number. SSP: Ho et
  // al., NeurIPS 2013.
  std::optional<std::int64_t> max_staleness{};
  // Asynchronous: an update whose parameters are tau updates old weighs 1 / max(1, tau). Zhang et al., IJCAI
  // 2016.
  bool staleness_aware = false;
  // Asynchronous: lambda of g + lambda g*g*(w - w_then). DC-ASGD: Zheng et al., ICML 2017. 0: none.
  double delay_compensation = 0;
  MakeOptimizer make_optimizer{};
  // Bytes that the part may take, with all that is kept beside it.
  std::uint64_t memory_max = std::numeric_limits<std::uint64_t>::max();
  // Gradients come, and parameters go, as frames, where these are shorter.
  std::optional<PartCodecOptions> codec{};
};

// A machine without I/O. Synchronous: update t is the mean of the gradients of all workers, added in the
// order of ranks; nobody is answered before. Asynchronous: each gradient is an update of its own, and its
// worker is answered at once unless it is too far ahead; shard 0 gives out the batches of a segment, so that
// each is trained on once, by whoever is free. Nobody is answered before the mirror has all updates, too.
class Shard {
 public:
  // `mirrors`: null where there is one server. All outlive it.
  Shard(ShardOptions options, ShardState& state, Mirrors* mirrors = nullptr);

  // Before its body is read. Errors, of both: kInternal: `worker` may not say this now; kInvalidArgument: the
  // part is larger than memory_max.
  [[nodiscard]] Status check(int worker, const ShardMessage& head) const;
  // `body`: head.bytes bytes, which stay until the worker is answered.
  [[nodiscard]] Status take(int worker, const ShardMessage& head, std::span<std::byte> body);

  struct Reply {
    int worker = 0;
    ShardMessage head;
    std::span<const std::byte> body;  // stays until the worker's next message
  };
  // An answer that is due; each once.
  [[nodiscard]] std::optional<Reply> next_reply();

  // Of what other servers say and are told; null: nobody mirrors this part, or rank 0 has not begun.
  [[nodiscard]] Mirrors* mirrors() { return begun_ ? mirrors_ : nullptr; }
  [[nodiscard]] bool awaits_mirror() const { return begun_ && mirrors_ != nullptr && !is_even(); }
  // The part is here, and with the mirror.
  [[nodiscard]] bool is_ready() const {
    return begun_ && (mirrors_ == nullptr || mirrors_->original().is_settled());
  }

  // The server is asked to stop: all workers are, with the next update, as if one of them was.
  void ask_stop() { stop_wanted_ = true; }
  [[nodiscard]] bool ended() const;                // no worker has anything more to ask
  [[nodiscard]] std::vector<int> awaited() const;  // for whose gradients others wait; empty: nobody waits
  [[nodiscard]] std::int64_t updates() const { return version_; }  // in this membership
  // Of these, by how many others were made between their worker's read and them: 0, 1, 2-3, 4-7, ...
  [[nodiscard]] const std::vector<std::int64_t>& staleness() const { return staleness_; }
  // That the formula says for the answers to pushes, in this membership.
  [[nodiscard]] std::uint64_t payload_bytes_expected() const { return payload_bytes_expected_; }

 private:
  [[nodiscard]] Status fits(std::int64_t total) const;
  struct Worker {
    std::optional<ShardMessage> asks;  // not yet answered
    std::span<std::byte> body;         // of it
    // The parameters that it works on: asynchronous; worker 0's, where parameters go to all as frames.
    std::vector<float> pulled;
    std::vector<float> decoded;     // of a gradient that came as a frame
    std::vector<std::byte> answer;  // a frame
    std::int64_t pulled_version = 0;
    std::int64_t updates = 0;  // of this segment
    bool idle = false;         // has no more updates in this segment
    bool ended = false;
  };

  [[nodiscard]] Status begin(const ShardMessage& head, std::span<const std::byte> body);
  [[nodiscard]] Status open_segment(const ShardMessage& head, std::span<const std::byte> body);
  [[nodiscard]] Status push(int worker);
  [[nodiscard]] Status make_synchronous_update();
  void make_workers_update(Worker& worker);
  void apply(std::int64_t step, std::int64_t examples, std::span<const float> gradient);
  [[nodiscard]] bool is_even() const { return mirrors_ == nullptr || mirrors_->original().is_even(); }
  void count(std::int64_t age);
  void compensate(const Worker& worker, std::span<float> gradient) const;
  [[nodiscard]] bool may_go_on(const Worker& worker) const;
  [[nodiscard]] bool is_due(const Worker& worker) const;
  [[nodiscard]] Reply answer(int index);
  // What a worker has, as frames go: of synchronous updates what all have.
  [[nodiscard]] const std::vector<float>& knows(const Worker& worker) const {
    return options_.asynchronous ? worker.pulled : workers_[0].pulled;
  }
  void know_parameters(Worker& worker);
  [[nodiscard]] std::span<const std::byte> parameters_for(Worker& worker, const ShardMessage& asks,
                                                          ShardMessage& head);
  [[nodiscard]] bool goes_as_frame(const ShardMessage& asks) const {
    return codec_ && codec_->shortens_parameters() && asks.kind == ShardMessage::Kind::kPush &&
           asks.has(ShardMessage::kFrame);
  }
  void give_batch(Worker& worker, ShardMessage& head);
  void tell_done();
  void tell_optimizer();

  ShardOptions options_;
  ShardState& state_;
  Mirrors* mirrors_;
  std::vector<Worker> workers_;
  bool begun_ = false;
  std::optional<PartCodec> codec_;  // once the part is known
  std::uint64_t payload_bytes_expected_ = 0;
  std::int64_t version_ = 0;
  std::vector<std::byte> told_;  // the body of an answer to rank 0

  // Of the synchronous update or the segment under way.
  double loss_ = 0;  // sum over the examples
  std::uint64_t rows_ = 0;
  std::int64_t not_finite_ = 0;
  std::int64_t examples_ = 0;
  bool stop_ = false;
  bool stop_wanted_ = false;
  std::int64_t answered_step_ = -1;                  // synchronous: made, and told
  std::int64_t framed_step_ = -1;                    // synchronous: of the frame that all get
  std::int64_t first_ = -1, last_ = -1, next_ = -1;  // updates of the segment; the one to give out
  std::set<std::int64_t> everywhere_;                // that are not given out: all servers have them
  std::vector<std::int64_t> staleness_;
};

}  // namespace muster::worker
