// worker/parallel/mirror.cc: what servers say to each other, and when
#include "worker/parallel/mirror.h"

#include <fmt/format.h>

#include <utility>

#include "common/base/check.h"

namespace muster::worker {
namespace {

using Kind = ShardMessage::Kind;

std::uint64_t part_of(const MirrorOptions& options, std::int64_t total, int shard) {
  return shard_part(total, shard, options.shards).size;
}

std::uint64_t slots_of(const MirrorOptions& options) { return options.make_optimizer(1)->slots().size(); }

// A part of `part` parameters with what was done beside.
bool is_part(const MirrorOptions& options, std::uint64_t part, std::uint64_t bytes) {
  const std::uint64_t least = part_bytes(part, slots_of(options));
  return bytes >= least && (bytes - least) % sizeof(ShardDone) == 0 &&
         (bytes - least) / sizeof(ShardDone) <= kDoneMax;
}

Status refused(const MirrorOptions& options, int shard, const ShardMessage& head) {
  return internal_error(
      fmt::format("rank {}, parameter server {}, says to server {} what it may not say now: {} bytes of kind "
                  "{}; do all pods run one image?",
                  options.workers + shard, shard, options.shard, head.bytes, static_cast<int>(head.kind)));
}

ShardMessage head_of(Kind kind, const ShardState& state) {
  return {.kind = kind, .step = state.updates, .total = state.total, .position = state.origin};
}

bool is_same(const ShardMessage& head, const ShardState& state) {
  return head.total == state.total && head.position == state.origin && head.step == state.updates;
}

std::optional<ServerMessage> first_of(const std::deque<ServerMessage>& out) {
  return out.empty() ? std::nullopt : std::optional(out.front());
}

// Such a message is of a mirror, and not to it.
bool is_answer(Kind kind) { return kind == Kind::kHave || kind == Kind::kCopy; }

}  // namespace

Original::Original(const MirrorOptions& options, ShardState& state) : options_(options), state_(state) {}

void Original::begin(std::int64_t total, bool kept) {
  total_ = total;
  if (!kept) {
    state_.origin = options_.membership;
    state_.updates = 0;
    send_part();
    return;
  }
  turn_ = Turn::kCompares;
  out_.push_back({head_of(Kind::kShard, state_), {}});
}

void Original::send_part() {
  part_ = encode_part(state_);
  turn_ = Turn::kSends;
  out_.push_back({head_of(Kind::kPart, state_), part_});
}

void Original::updated(std::int64_t step, std::int64_t examples, std::span<const float> gradient) {
  MUSTER_CHECK(is_settled());
  out_.push_back({{.kind = Kind::kUpdate,
                   .step = step,
                   .examples = examples,
                   .total = state_.base,
                   .position = state_.base_position},
                  std::as_bytes(gradient)});
}

Status Original::check(const ShardMessage& head) const {
  const int mirror = (options_.shard + 1) % options_.shards;
  if (head.kind == Kind::kHave && head.bytes == 0) {
    // What is still to be sent, it cannot have.
    if (turn_ == Turn::kSends && out_.empty() && head.step == state_.updates) return {};
    if (turn_ == Turn::kSettled && head.step == told_ + 1 && head.step <= state_.updates - std::ssize(out_))
      return {};
  }
  if (head.kind == Kind::kCopy && turn_ == Turn::kCompares && out_.empty()) {
    if (state_.total > 0 && head.bytes == 0) return {};
    if (state_.total == 0 && head.total == 0 && head.bytes == 0)
      return unavailable(
          fmt::format("parameter server {} has lost its part of the parameters, and server {} its copy: both "
                      "are other processes than in the membership before",
                      options_.shard, mirror));
    if (state_.total == 0 && head.total == total_ && head.step >= 0 && head.position >= 0 &&
        is_part(options_, part_of(options_, total_, options_.shard), head.bytes))
      return {};
  }
  return refused(options_, mirror, head);
}

Status Original::take(const ShardMessage& head, std::span<const std::byte> body) {
  if (head.kind == Kind::kHave) {
    told_ = head.step;
    turn_ = Turn::kSettled;
    part_ = {};
    return {};
  }
  if (state_.total == 0) {
    MUSTER_TRY(decode_part(body, part_of(options_, total_, options_.shard), options_.make_optimizer, state_));
    state_.total = total_;
    state_.origin = head.position;
    state_.updates = head.step;
  } else if (!is_same(head, state_)) {
    send_part();
    return {};
  }
  told_ = state_.updates;
  turn_ = Turn::kSettled;
  return {};
}

std::optional<ServerMessage> Original::next() const { return first_of(out_); }

Mirror::Mirror(const MirrorOptions& options, ShardState& copy) : options_(options), copy_(copy) {}

std::uint64_t Mirror::part() const {
  return part_of(options_, total_, (options_.shard + options_.shards - 1) % options_.shards);
}

Status Mirror::check(const ShardMessage& head) const {
  const int original = (options_.shard + options_.shards - 1) % options_.shards;
  const bool named = (head.total == total_) && head.step >= 0 && head.position >= 0;
  switch (head.kind) {
    case Kind::kShard:
      if (turn_ == Turn::kListens && (named || head.total == 0) && head.bytes == 0) return {};
      break;
    case Kind::kPart:
      if (turn_ != Turn::kFollows && out_.empty() && named && is_part(options_, part(), head.bytes))
        return {};
      break;
    case Kind::kUpdate:
      if (turn_ == Turn::kFollows && head.bytes == part() * sizeof(float) && head.total >= 0 &&
          head.step >= head.total && head.examples >= 0 && head.position >= 0 &&
          !copy_.done.contains(head.step))
        return {};
      break;
    default: break;
  }
  return refused(options_, original, head);
}

Status Mirror::take(const ShardMessage& head, std::span<const std::byte> body) {
  switch (head.kind) {
    case Kind::kShard: compare(head); return {};
    case Kind::kPart:
      MUSTER_TRY(decode_part(body, part(), options_.make_optimizer, copy_));
      copy_.total = total_;
      copy_.origin = head.position;
      copy_.updates = head.step;
      turn_ = Turn::kFollows;
      break;
    default:
      if (out_.empty()) part_ = {};
      move_base(copy_, head.total, head.position);
      make_update(copy_, head.step, head.examples,
                  {reinterpret_cast<const float*>(body.data()), body.size() / sizeof(float)});
      break;
  }
  out_.push_back({{.kind = Kind::kHave, .step = copy_.updates}, {}});
  return {};
}

void Mirror::compare(const ShardMessage& head) {
  const bool asks = head.total == 0 && copy_.total == total_;
  if (asks) part_ = encode_part(copy_);
  turn_ = asks || is_same(head, copy_) ? Turn::kFollows : Turn::kAwaitsPart;
  ShardMessage answer = head_of(Kind::kCopy, copy_);
  if (copy_.total != total_) answer.total = 0;  // of a model that is not trained any more
  out_.push_back({answer, part_});
}

std::optional<ServerMessage> Mirror::next() const { return first_of(out_); }

Mirrors::Mirrors(MirrorOptions options, ShardState& state, ShardState& copy)
    : options_(std::move(options)), original_(options_, state), mirror_(options_, copy) {
  MUSTER_CHECK(options_.shards >= 2 && 0 <= options_.shard && options_.shard < options_.shards);
}

void Mirrors::begin(std::int64_t total, bool kept) {
  original_.begin(total, kept);
  mirror_.begin(total);
}

Status Mirrors::check(int shard, const ShardMessage& head) const {
  if (is_answer(head.kind) && shard == next_shard()) return original_.check(head);
  if (!is_answer(head.kind) && shard == previous_shard()) return mirror_.check(head);
  return refused(options_, shard, head);
}

Status Mirrors::take(int shard, const ShardMessage& head, std::span<const std::byte> body) {
  MUSTER_CHECK(shard == (is_answer(head.kind) ? next_shard() : previous_shard()));
  return is_answer(head.kind) ? original_.take(head, body) : mirror_.take(head, body);
}

std::optional<ServerMessage> Mirrors::next_to(int shard) const {
  if (shard == next_shard())
    if (auto message = original_.next()) return message;
  return shard == previous_shard() ? mirror_.next() : std::nullopt;
}

void Mirrors::sent(const ShardMessage& head) { is_answer(head.kind) ? mirror_.sent() : original_.sent(); }

}  // namespace muster::worker
