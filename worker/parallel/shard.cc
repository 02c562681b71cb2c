// worker/parallel/shard.cc: updates, and when they are answered
#include "worker/parallel/shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/base/check.h"
#include "worker/collective/reduce.h"

namespace muster::worker {
namespace {

using Kind = ShardMessage::Kind;

constexpr std::int64_t kParametersMax = std::int64_t{1} << 40;
constexpr std::uint64_t kUpdatesMax = std::uint64_t{1} << 24;  // of a segment, that are named one by one

std::span<float> floats(std::span<std::byte> bytes) {
  return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

std::span<const std::byte> bytes_of(std::span<const float> values) { return std::as_bytes(values); }

// The values behind one another.
std::span<const std::byte> take_values(std::span<const std::byte> from, std::span<float> to) {
  std::memcpy(to.data(), from.data(), to.size_bytes());
  return from.subspan(to.size_bytes());
}

Status refused(int worker, const std::string& why) {
  return internal_error(fmt::format("rank {} {}; do all pods run one image?", worker, why));
}

}  // namespace

Shard::Shard(ShardOptions options, ShardState& state, Mirrors* mirrors)
    : options_(std::move(options)),
      state_(state),
      mirrors_(mirrors),
      workers_(static_cast<std::size_t>(options_.workers)) {
  MUSTER_CHECK(options_.workers >= 1 && 0 <= options_.shard && options_.shard < options_.shards);
}

Status Shard::check(int worker, const ShardMessage& head) const {
  const Worker& from = workers_[static_cast<std::size_t>(worker)];
  if (from.asks || from.ended) return refused(worker, "speaks out of turn to a parameter server");
  if (head.has(ShardMessage::kFrame) && head.kind != Kind::kPush)
    return refused(worker, "says of what is no gradient that it is a frame");
  const std::uint64_t part = state_.parameters.size() * sizeof(float);
  std::optional<std::uint64_t> bytes;  // absent: it may not say this now
  switch (head.kind) {
    case Kind::kBegin: {
      if (worker != 0 || begun_ || head.step < 0 || head.position < 0 || head.total < options_.shards ||
          head.total > kParametersMax)
        break;
      if (head.has(ShardMessage::kKept)) {
        // What was lost with another process, the mirror has.
        if (state_.total != head.total && (mirrors_ == nullptr || state_.total != 0))
          return unavailable(fmt::format(
              "parameter server {} has lost its part of the parameters: it is another process than "
              "in the membership before",
              options_.shard));
        if (state_.total != head.total) MUSTER_TRY(fits(head.total));
        bytes = 0;
        break;
      }
      MUSTER_TRY(fits(head.total));
      const std::uint64_t slots =
          head.has(ShardMessage::kSlots) ? options_.make_optimizer(1)->slots().size() : 0;
      bytes = shard_part(head.total, options_.shard, options_.shards).size * sizeof(float) * (1 + slots);
      break;
    }
    case Kind::kPush: {
      const bool counted = head.not_finite >= 0 && head.not_finite <= kParametersMax && 0 <= head.examples &&
                           head.position >= 0 && head.examples <= head.total && head.total >= 1 &&
                           head.total <= kCountMax;
      const bool in_segment = !options_.asynchronous || (first_ <= head.step && head.step < last_);
      const bool pulled = !options_.asynchronous || from.pulled.size() == state_.parameters.size();
      if (!is_ready() || !counted || head.step < 0 || !in_segment || !pulled) break;
      bytes = part;
      if (!head.has(ShardMessage::kFrame)) break;
      bytes.reset();
      if (codec_ && codec_->shortens_parameters() && knows(from).size() != state_.parameters.size()) break;
      if (codec_ && codec_->shortens_gradients() && head.bytes <= codec_->gradient_bytes_max())
        bytes = head.bytes;
      break;
    }
    case Kind::kSegment:
      if (is_ready() && worker == 0 && options_.asynchronous && 0 <= head.step && head.step < head.total &&
          head.position >= 0 && head.bytes % sizeof(std::int64_t) == 0 &&
          head.bytes / sizeof(std::int64_t) <=
              std::min<std::uint64_t>(static_cast<std::uint64_t>(head.total - head.step), kUpdatesMax))
        bytes = head.bytes;
      break;
    case Kind::kState:
      if (is_ready() && worker == 0) bytes = 0;
      break;
    case Kind::kPull:
      if (is_ready() && (head.step < 0 || head.step >= first_)) bytes = 0;
      break;
    case Kind::kIdle:
      if (is_ready() && options_.asynchronous && !from.idle) bytes = 0;
      break;
    case Kind::kEnd:
      if (is_ready()) bytes = 0;
      break;
    default: break;  // servers say that
  }
  if (!bytes) return refused(worker, "says to a parameter server what it may not say now");
  if (*bytes != head.bytes)
    return refused(worker, fmt::format("sends {} bytes where parameter server {} expects {}", head.bytes,
                                       options_.shard, *bytes));
  return {};
}

Status Shard::take(int worker, const ShardMessage& head, std::span<std::byte> body) {
  Worker& from = workers_[static_cast<std::size_t>(worker)];
  switch (head.kind) {
    case Kind::kEnd: from.ended = true; return {};
    case Kind::kIdle: from.idle = true; return {};
    case Kind::kSegment: return open_segment(head, body);
    case Kind::kBegin: MUSTER_TRY(begin(head, body)); break;
    default: break;
  }
  from.asks = head;
  from.body = body;
  if (head.has(ShardMessage::kFrame)) {
    from.decoded.resize(state_.parameters.size());
    if (const Status read = codec_->decode_gradient(body, from.decoded); !read)
      return refused(worker, "sends a gradient that is no frame: " + read.error().message);
    from.body = std::as_writable_bytes(std::span(from.decoded));
  }
  return head.kind == Kind::kPush ? push(worker) : Status();
}

Status Shard::begin(const ShardMessage& head, std::span<const std::byte> body) {
  begun_ = true;
  const bool kept = head.has(ShardMessage::kKept);
  if (!kept) {
    state_.total = head.total;
    state_.parameters.resize(shard_part(head.total, options_.shard, options_.shards).size);
    state_.optimizer = options_.make_optimizer(std::ssize(state_.parameters));
    state_.done.clear();
    move_base(state_, head.step, head.position);
    body = take_values(body, state_.parameters);
    if (head.has(ShardMessage::kSlots))
      for (const auto& slot : state_.optimizer->slots()) body = take_values(body, slot.values);
    state_.optimizer->set_steps(head.examples);
  }
  if (options_.codec) {  // a part that is kept may still be with the mirror
    PartCodecOptions codec = *options_.codec;
    codec.error_feedback = false;  // of gradients, at those who send them
    codec_.emplace(codec, shard_part(head.total, options_.shard, options_.shards).size,
                   static_cast<std::uint32_t>(options_.shard));
  }
  // All workers begin with what rank 0 has brought, or pull what is kept.
  if (!kept && !options_.asynchronous) know_parameters(workers_[0]);
  if (mirrors_ != nullptr) mirrors_->begin(head.total, kept);
  return {};
}

// `worker`, or where updates are synchronous every worker, has the parameters as they are.
void Shard::know_parameters(Worker& worker) {
  if (options_.asynchronous || (codec_ && codec_->shortens_parameters())) worker.pulled = state_.parameters;
}

void Shard::tell_done() {
  std::vector<ShardDone> list;
  list.reserve(state_.done.size());
  for (const auto& [step, examples] : state_.done) list.push_back({.step = step, .examples = examples});
  const auto bytes = std::as_bytes(std::span(list));
  told_.assign(bytes.begin(), bytes.end());
}

void Shard::tell_optimizer() {
  told_.clear();
  for (const auto& slot : state_.optimizer->slots()) {
    const auto bytes = bytes_of(slot.values);
    told_.insert(told_.end(), bytes.begin(), bytes.end());
  }
}

Status Shard::open_segment(const ShardMessage& head, std::span<const std::byte> body) {
  first_ = next_ = head.step;
  last_ = head.total;
  std::vector<std::int64_t> everywhere(body.size() / sizeof(std::int64_t));
  if (!body.empty()) std::memcpy(everywhere.data(), body.data(), body.size());
  everywhere_ = {everywhere.begin(), everywhere.end()};
  move_base(state_, head.step, head.position);
  loss_ = 0;
  rows_ = 0;
  not_finite_ = 0;
  examples_ = 0;
  stop_ = false;
  for (Worker& worker : workers_) {
    worker.updates = 0;
    worker.idle = false;
  }
  return {};
}

Status Shard::push(int worker) {
  if (!options_.asynchronous) return make_synchronous_update();
  make_workers_update(workers_[static_cast<std::size_t>(worker)]);
  return {};
}

// Once the gradients of all are here.
Status Shard::make_synchronous_update() {
  const Worker& first = workers_[0];
  for (const Worker& worker : workers_)
    if (!worker.asks || worker.asks->kind != Kind::kPush) return {};
  loss_ = 0;
  rows_ = 0;
  not_finite_ = 0;
  stop_ = stop_wanted_;
  for (const Worker& worker : workers_) {
    const ShardMessage& asks = *worker.asks;
    if (asks.step != first.asks->step || asks.total != first.asks->total)
      return refused(static_cast<int>(&worker - workers_.data()),
                     fmt::format("is at step {} of {} examples where rank 0 is at step {} of {}",
                                 asks.step + 1, asks.total, first.asks->step + 1, first.asks->total));
    if (codec_ && codec_->shortens_parameters() &&
        asks.has(ShardMessage::kFrame) !=
            first.asks->has(ShardMessage::kFrame))  // all know the same after it
      return refused(static_cast<int>(&worker - workers_.data()),
                     "and rank 0 differ in what goes as a frame");
    loss_ += asks.loss;
    rows_ += asks.rows;
    not_finite_ = std::min(not_finite_ + asks.not_finite, kCountMax);
    stop_ = stop_ || asks.has(ShardMessage::kStop);
  }
  answered_step_ = first.asks->step;
  examples_ = first.asks->total;
  move_base(state_, first.asks->step, first.asks->position);
  if (state_.done.contains(answered_step_)) return {};
  const std::span<float> sum = floats(first.body);
  for (std::size_t i = 1; i < workers_.size(); ++i)
    add_to(sum.data(), floats(workers_[i].body).data(), sum.size());
  scale(sum.data(), static_cast<float>(1.0 / static_cast<double>(workers_.size())), sum.size());
  count(0);
  apply(answered_step_, examples_, sum);
  return {};
}

void Shard::make_workers_update(Worker& worker) {
  const ShardMessage& asks = *worker.asks;
  worker.updates += 1;
  loss_ += asks.loss;
  rows_ += asks.rows;
  not_finite_ = std::min(not_finite_ + asks.not_finite, kCountMax);
  examples_ = std::min(examples_ + asks.examples, kCountMax);
  stop_ = stop_ || stop_wanted_ || asks.has(ShardMessage::kStop);
  if (state_.done.contains(asks.step)) return;
  const std::span<float> gradient = floats(worker.body);
  const std::int64_t age = version_ - worker.pulled_version;
  count(age);
  compensate(worker, gradient);
  if (options_.staleness_aware && age > 1)
    scale(gradient.data(), static_cast<float>(1.0 / static_cast<double>(age)), gradient.size());
  apply(asks.step, asks.examples, gradient);
}

void Shard::count(std::int64_t age) {
  const auto bucket = static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(age)));
  if (staleness_.size() <= bucket) staleness_.resize(bucket + 1);
  ++staleness_[bucket];
}

void Shard::compensate(const Worker& worker, std::span<float> gradient) const {
  if (options_.delay_compensation == 0) return;
  const auto lambda = static_cast<float>(options_.delay_compensation);
  for (std::size_t i = 0; i < gradient.size(); ++i)
    gradient[i] += lambda * gradient[i] * gradient[i] * (state_.parameters[i] - worker.pulled[i]);
}

void Shard::apply(std::int64_t step, std::int64_t examples, std::span<const float> gradient) {
  make_update(state_, step, examples, gradient);
  ++version_;
  // The gradient lies with a worker that is not answered before the mirror has it.
  if (mirrors_ != nullptr) mirrors_->original().updated(step, examples, gradient);
}

// Whoever has no more updates in this segment holds up nobody.
bool Shard::may_go_on(const Worker& worker) const {
  if (!options_.max_staleness) return true;
  return std::ranges::all_of(workers_, [&](const Worker& other) {
    return other.idle || other.ended || worker.updates - other.updates <= *options_.max_staleness;
  });
}

bool Shard::is_due(const Worker& worker) const {
  if (!worker.asks || !is_even()) return false;
  switch (worker.asks->kind) {
    case Kind::kPush: return options_.asynchronous ? may_go_on(worker) : worker.asks->step == answered_step_;
    case Kind::kPull: return worker.asks->step < 0 || (worker.asks->step == first_ && may_go_on(worker));
    default: return true;
  }
}

std::optional<Shard::Reply> Shard::next_reply() {
  for (Worker& worker : workers_)
    if (is_due(worker)) return answer(static_cast<int>(&worker - workers_.data()));
  return std::nullopt;
}

Shard::Reply Shard::answer(int index) {
  Worker& worker = workers_[static_cast<std::size_t>(index)];
  const ShardMessage asks = *worker.asks;
  worker.asks.reset();
  Reply reply{.worker = index, .head = {}, .body = {}};
  if (asks.kind == Kind::kBegin) {
    tell_done();
    reply.body = told_;
    reply.head.kind = Kind::kBegun;
    reply.head.step = state_.base;
    reply.head.position = state_.base_position;
    return reply;
  }
  if (asks.kind == Kind::kState) {
    tell_optimizer();
    reply.body = told_;
    reply.head.kind = Kind::kOptimizer;
    reply.head.step = state_.optimizer->steps();
    return reply;
  }
  reply.head = {.kind = asks.kind == Kind::kPush ? Kind::kParameters : Kind::kPulled,
                .flags = static_cast<std::uint16_t>(stop_ ? ShardMessage::kStop : 0),
                .step = asks.step,
                .examples = examples_,
                .rows = rows_,
                .not_finite = not_finite_,
                .loss = loss_};
  reply.body = parameters_for(worker, asks, reply.head);
  if (asks.kind == Kind::kPush) payload_bytes_expected_ += reply.body.size();
  if (!options_.asynchronous) return reply;
  worker.pulled_version = version_;
  if (options_.shard == 0 && asks.step >= 0) give_batch(worker, reply.head);
  return reply;
}

// Where updates are synchronous, all get the same frame, which is made with the update's first answer.
std::span<const std::byte> Shard::parameters_for(Worker& worker, const ShardMessage& asks,
                                                 ShardMessage& head) {
  Worker& reader = options_.asynchronous ? worker : workers_[0];
  if (!goes_as_frame(asks)) {
    know_parameters(reader);
    return bytes_of(options_.asynchronous ? reader.pulled : state_.parameters);  // others go on updating them
  }
  head.flags |= ShardMessage::kFrame;
  if (options_.asynchronous || framed_step_ != asks.step) {
    framed_step_ = asks.step;
    reader.answer.resize(codec_->parameter_bytes());
    codec_->encode_change(state_.parameters, reader.pulled,
                          static_cast<std::uint64_t>(&reader - workers_.data()), asks.step, reader.answer);
  }
  return reader.answer;
}

// A stop ends the segment where all before is given out: what lies behind must not be done without it.
void Shard::give_batch(Worker& worker, ShardMessage& head) {
  while (next_ < last_ && everywhere_.contains(next_)) ++next_;
  if (stop_ && (everywhere_.empty() || next_ > *everywhere_.rbegin())) last_ = next_;
  if (next_ < last_) {
    head.step = next_++;
    return;
  }
  head.step = last_;
  head.flags |= ShardMessage::kOver;
  worker.idle = true;
}

bool Shard::ended() const {
  return std::ranges::all_of(workers_, [](const Worker& worker) { return worker.ended; });
}

std::vector<int> Shard::awaited() const {
  std::vector<int> slow;
  const bool held = std::ranges::any_of(
      workers_, [](const Worker& worker) { return worker.asks && worker.asks->kind == Kind::kPush; });
  if (!held) return slow;
  for (std::size_t i = 0; i < workers_.size(); ++i)
    if (!workers_[i].asks && !workers_[i].idle && !workers_[i].ended) slow.push_back(static_cast<int>(i));
  if (!options_.asynchronous || slow.empty()) return slow;
  const auto updates = [this](int worker) { return workers_[static_cast<std::size_t>(worker)].updates; };
  const std::int64_t fewest = updates(*std::ranges::min_element(slow, {}, updates));
  std::erase_if(slow, [&](int worker) { return updates(worker) > fewest; });
  return slow;
}

}  // namespace muster::worker
