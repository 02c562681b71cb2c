// worker/parallel/parameter_client.cc: gradients up, parameters down, all servers at once
#include "worker/parallel/parameter_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "common/base/check.h"
#include "worker/collective/reduce.h"

namespace muster::worker {
namespace {

using Kind = ShardMessage::Kind;

// A server that waits for another worker gives that one up first, and names it.
constexpr std::chrono::seconds kGrace{5};

std::span<const std::byte> bytes_of(std::span<const float> values, const Chunk& part) {
  return std::as_bytes(values.subspan(part.begin, part.size));
}

Error unexpected(int rank, const ShardMessage& head) {
  return internal_error(
      fmt::format("rank {}, a parameter server, answers with {} bytes of kind {}; do all pods run "
                  "one image?",
                  rank, head.bytes, static_cast<int>(head.kind)));
}

}  // namespace

ParameterClient::ParameterClient(Mesh& mesh, Collective& workers, Options options)
    : mesh_(mesh), workers_(workers), options_(std::move(options)) {
  MUSTER_CHECK(options_.shards >= 1 && options_.parameters >= options_.shards);
  MUSTER_CHECK(workers.size() + options_.shards == mesh.size());
  servers_.reserve(static_cast<std::size_t>(options_.shards));
  for (int shard = 0; shard < options_.shards; ++shard) {
    servers_.emplace_back(mesh, workers.size() + shard);
    if (options_.codec)
      codecs_.emplace_back(*options_.codec, part(shard).size, static_cast<std::uint32_t>(shard));
  }
  news_.resize(codecs_.size());
}

Deadline ParameterClient::deadline() const { return deadline_after(options_.timeout + kGrace); }

Status ParameterClient::talk(Deadline until) {
  alive_ = worker::finish(mesh_, servers_, until);
  return alive_;
}

Status ParameterClient::restore(const learning::OptimizerState& state) {
  restored_ = learning::without_outer(state);
  if (!restored_.slots.empty()) {
    const auto like = options_.make_optimizer(options_.parameters);
    MUSTER_TRY(learning::restore(*like, restored_));
  }
  return {};
}

void ParameterClient::expect_lists(Kind kind, std::uint64_t bytes_max, Lists& lists) {
  lists.resize(servers_.size());
  for (std::size_t shard = 0; shard < servers_.size(); ++shard) {
    servers_[shard].receive([&list = lists[shard], kind, bytes_max, rank = servers_[shard].peer()](
                                const ShardMessage& head) -> Result<std::span<std::byte>> {
      if (head.kind != kind || head.bytes > bytes_max) return unexpected(rank, head);
      list.resize(head.bytes);
      return std::span(list);
    });
  }
}

Result<learning::OptimizerState> ParameterClient::capture() {
  MUSTER_TRY(alive_);
  learning::OptimizerState state;
  for (const auto& slot : options_.make_optimizer(1)->slots())
    state.slots.push_back(
        {.name = slot.name, .values = std::vector<float>(static_cast<std::size_t>(options_.parameters))});
  Lists parts;
  expect_lists(Kind::kOptimizer, part(0).size * sizeof(float) * state.slots.size(), parts);
  for (PeerStream& server : servers_) server.send({.kind = Kind::kState});
  MUSTER_TRY(talk(deadline()));
  for (std::size_t shard = 0; shard < servers_.size(); ++shard) {
    const Chunk chunk = part(static_cast<int>(shard));
    const std::size_t bytes = chunk.size * sizeof(float);
    if (parts[shard].size() != bytes * state.slots.size())
      return unexpected(servers_[shard].peer(), servers_[shard].head());
    for (std::size_t slot = 0; slot < state.slots.size(); ++slot)
      std::memcpy(state.slots[slot].values.data() + chunk.begin, parts[shard].data() + slot * bytes, bytes);
    state.steps = servers_[shard].head().step;
  }
  return state;
}

Result<Synchronizer::Ahead> ParameterClient::begin(const Beginning& where, std::span<float> parameters) {
  MUSTER_TRY(alive_);
  const Deadline until = deadline_after(options_.start_timeout);
  Ahead ahead;
  if (workers_.rank() == 0) {
    MUSTER_ASSIGN(ahead, begin_servers(where, parameters));
  }
  MUSTER_TRY(workers_.broadcast(std::as_writable_bytes(std::span(&ahead, 1)), 0, until));
  if (ahead.steps < 0 || ahead.examples < 0 || ahead.next_examples < 0)
    return internal_error("rank 0 tells a state of the parameter servers that is none");
  if (where.kept) MUSTER_TRY(pull(-1, parameters, until));
  return ahead;
}

Result<Synchronizer::Ahead> ParameterClient::begin_servers(const Beginning& where,
                                                           std::span<const float> parameters) {
  ShardMessage head{.kind = Kind::kBegin,
                    .flags = static_cast<std::uint16_t>(where.kept ? ShardMessage::kKept : 0),
                    .step = where.step,
                    .examples = restored_.steps,
                    .total = options_.parameters,
                    .position = where.position};
  if (!where.kept && !restored_.slots.empty()) head.flags |= ShardMessage::kSlots;
  Lists done, uploads(servers_.size());
  expect_lists(Kind::kBegun, kDoneMax * sizeof(ShardDone), done);
  for (std::size_t shard = 0; shard < servers_.size(); ++shard) {
    if (!where.kept) uploads[shard] = upload_of(static_cast<int>(shard), parameters);
    servers_[shard].send(head, uploads[shard]);
  }
  MUSTER_TRY(talk(deadline_after(options_.start_timeout)));
  restored_ = {};
  return ahead_of(where, done);
}

std::vector<std::byte> ParameterClient::upload_of(int shard, std::span<const float> parameters) const {
  const Chunk chunk = part(shard);
  const auto values = bytes_of(parameters, chunk);
  std::vector<std::byte> body(values.begin(), values.end());
  for (const auto& slot : restored_.slots) {
    const auto more = bytes_of(slot.values, chunk);
    body.insert(body.end(), more.begin(), more.end());
  }
  return body;
}

// What all servers have without a gap is done; what some have beyond it, is done once more for the others.
// Rank 0 itself may be far behind: whoever was ahead of it may be gone.
Result<Synchronizer::Ahead> ParameterClient::ahead_of(const Beginning& where, const Lists& done) {
  Ahead ahead;
  for (const PeerStream& server : servers_) {
    if (server.head().step <= where.step + ahead.steps) continue;
    ahead.steps = server.head().step - where.step;
    ahead.examples = server.head().position - where.position;
  }
  struct Known {
    int servers = 0;
    std::int64_t examples = 0;
  };
  std::map<std::int64_t, Known> known;
  for (const auto& bytes : done) {
    std::vector<ShardDone> list(bytes.size() / sizeof(ShardDone));
    if (!list.empty()) std::memcpy(list.data(), bytes.data(), list.size() * sizeof(ShardDone));
    for (const ShardDone& each : list) {
      if (each.step < where.step + ahead.steps) continue;
      known[each.step].servers += 1;
      known[each.step].examples = each.examples;
    }
  }
  everywhere_.clear();
  for (const auto& [update, what] : known) {
    const bool all = what.servers == options_.shards;
    if (all && update == where.step + ahead.steps) {
      ahead.steps += 1;
      ahead.examples += what.examples;
    } else if (all) {
      everywhere_.push_back(update);
    } else if (update == where.step + ahead.steps) {
      ahead.next_examples = what.examples;
    }
  }
  return ahead;
}

// Where the answer goes: the part of the parameters, `whole`, or what is to be added to it, as a frame.
Result<std::span<std::byte>> ParameterClient::room_for(int shard, const ShardMessage& answer,
                                                       std::span<std::byte> whole) {
  const auto index = static_cast<std::size_t>(shard);
  if (!answer.has(ShardMessage::kFrame)) {
    if (answer.bytes == whole.size()) return whole;
  } else if (answer.kind == Kind::kParameters && !codecs_.empty() && codecs_[index].shortens_parameters() &&
             answer.bytes == codecs_[index].parameter_bytes()) {
    news_[index].resize(answer.bytes);
    return std::span(news_[index]);
  }
  return unexpected(servers_[index].peer(), answer);
}

Status ParameterClient::take_changes(std::span<float> parameters) {
  for (std::size_t shard = 0; shard < servers_.size(); ++shard) {
    if (!servers_[shard].head().has(ShardMessage::kFrame)) continue;
    const Chunk chunk = part(static_cast<int>(shard));
    const Status added = codecs_[shard].add_change(news_[shard], parameters.subspan(chunk.begin, chunk.size));
    if (!added)
      alive_ = internal_error(fmt::format("rank {}, a parameter server, answers with no frame: {}",
                                          servers_[shard].peer(), added.error().message));
    MUSTER_TRY(alive_);
  }
  return {};
}

// To one server, as a frame if that is shorter.
SyncCost ParameterClient::send_gradient(int shard, ShardMessage head, std::span<float> gradient, bool dense) {
  const auto index = static_cast<std::size_t>(shard);
  std::span<const std::byte> body = std::as_bytes(gradient);
  SyncCost cost;
  if (!codecs_.empty()) {
    PartCodec& codec = codecs_[index];
    if (!codec.shortens_gradients()) {
      cost.dense_buckets = 1;
    } else if (dense) {
      codec.flush(gradient);
    } else {
      body = codec.encode_gradient(gradient, head.step);
      head.flags |= ShardMessage::kFrame;
    }
  }
  cost.payload_bytes = body.size();
  servers_[index].send(head, body);
  return cost;
}

Result<SyncCost> ParameterClient::push_gradient(ShardMessage head, std::span<float> gradient,
                                                std::span<float> parameters, bool dense) {
  if (options_.shared_gradient && !codecs_.empty()) {
    copy_.assign(gradient.begin(), gradient.end());
    gradient = copy_;
  }
  MUSTER_TRY(expect_parameters(Kind::kParameters, parameters));
  SyncCost cost;
  for (int shard = 0; shard < options_.shards; ++shard) {
    const Chunk chunk = part(shard);
    const SyncCost sent = send_gradient(shard, head, gradient.subspan(chunk.begin, chunk.size), dense);
    cost.payload_bytes += sent.payload_bytes;
    cost.dense_buckets += sent.dense_buckets;
  }
  MUSTER_TRY(talk(deadline()));
  MUSTER_TRY(take_changes(parameters));
  return cost;
}

// Each server's answer goes to its part of `parameters`.
Status ParameterClient::expect_parameters(Kind wanted, std::span<float> parameters) {
  MUSTER_TRY(alive_);
  MUSTER_CHECK(std::ssize(parameters) == options_.parameters);
  for (int shard = 0; shard < options_.shards; ++shard) {
    const Chunk chunk = part(shard);
    PeerStream& server = servers_[static_cast<std::size_t>(shard)];
    server.receive([this, wanted, shard,
                    to = std::as_writable_bytes(parameters.subspan(chunk.begin, chunk.size)),
                    rank = server.peer()](const ShardMessage& answer) -> Result<std::span<std::byte>> {
      if (answer.kind != wanted) return unexpected(rank, answer);
      if (!is_count(answer.examples) || !is_count(answer.not_finite))
        return internal_error(fmt::format(
            "rank {}, a parameter server, tells of {} examples and {} elements that are no numbers", rank,
            answer.examples, answer.not_finite));
      return room_for(shard, answer, to);
    });
  }
  return {};
}

Status ParameterClient::pull(std::int64_t step, std::span<float> parameters, Deadline until) {
  MUSTER_TRY(expect_parameters(Kind::kPulled, parameters));
  for (PeerStream& server : servers_) server.send({.kind = Kind::kPull, .step = step});
  return talk(until);
}

// Shard 0 ends an asynchronous segment; another server's wish to stop comes to it this way.
ShardMessage ParameterClient::push_of(const Step& step) const {
  const bool stop = step.stop || is_stop_told();
  return {.kind = Kind::kPush,
          .flags = static_cast<std::uint16_t>(stop ? ShardMessage::kStop : 0),
          .step = step.number,
          .examples = step.share.mine,
          .total = step.share.all,
          .position = step.position,
          .rows = step.rows,
          .loss = step.share.mine == 0 ? 0 : step.loss * static_cast<double>(step.share.mine)};
}

Result<StepSums> ParameterClient::exchange(std::span<float> gradient, std::span<float> parameters,
                                           const Step& step) {
  const std::span<float> values = gradient.first(gradient.size() - kRiders);
  const std::int64_t not_finite = weigh(values, step.share, workers_.size());
  ShardMessage head = push_of(step);
  head.not_finite = not_finite;
  MUSTER_ASSIGN(const SyncCost cost, push_gradient(head, values, parameters, step.dense));
  const ShardMessage& answer = servers_[0].head();
  return StepSums{.loss = answer.loss / static_cast<double>(step.share.all),
                  .stop = is_stop_told(),
                  .cost = cost,
                  .not_finite = answer.not_finite,
                  .mine_not_finite = not_finite,
                  .rows = answer.rows};
}

Result<AsynchronousUpdates::Turn> ParameterClient::open(std::int64_t first, std::int64_t last,
                                                        std::int64_t position, std::span<float> parameters) {
  MUSTER_TRY(alive_);
  if (workers_.rank() == 0) {
    const ShardMessage head{.kind = Kind::kSegment, .step = first, .total = last, .position = position};
    std::erase_if(everywhere_, [&](std::int64_t update) { return update < first || update >= last; });
    for (PeerStream& server : servers_) server.send(head, std::as_bytes(std::span(everywhere_)));
    MUSTER_TRY(talk(deadline()));
  }
  MUSTER_TRY(pull(first, parameters, deadline()));
  return next_turn();
}

Result<AsynchronousUpdates::Turn> ParameterClient::push(std::span<float> gradient,
                                                        std::span<float> parameters, const Step& step) {
  const std::span<float> values = gradient.first(gradient.size() - kRiders);
  ShardMessage head = push_of(step);
  head.not_finite = static_cast<std::int64_t>(count_not_finite(values.data(), values.size()));
  MUSTER_ASSIGN(const SyncCost cost, push_gradient(head, values, parameters, step.dense));
  MUSTER_ASSIGN(Turn next, next_turn());
  next.mine_not_finite = head.not_finite;
  next.cost = cost;
  return next;
}

// Shard 0 gives out the batches, and knows who got none; the others are told.
Result<AsynchronousUpdates::Turn> ParameterClient::next_turn() {
  const Turn next = turn();
  if (!next.over) return next;
  for (std::size_t shard = 1; shard < servers_.size(); ++shard) servers_[shard].send({.kind = Kind::kIdle});
  MUSTER_TRY(talk(deadline()));
  return next;
}

bool ParameterClient::is_stop_told() const {
  return std::ranges::any_of(servers_,
                             [](const PeerStream& server) { return server.head().has(ShardMessage::kStop); });
}

AsynchronousUpdates::Turn ParameterClient::turn() const {
  const ShardMessage& told = servers_[0].head();
  return {.over = told.has(ShardMessage::kOver),
          .batch = told.step,
          .loss = told.loss,
          .examples = told.examples,
          .rows = told.rows,
          .not_finite = told.not_finite,
          .stop = told.has(ShardMessage::kStop)};
}

Result<AsynchronousUpdates::Turn> ParameterClient::settle(std::span<float> parameters) {
  MUSTER_TRY(pull(-1, parameters, deadline()));
  return turn();
}

Status ParameterClient::finish() {
  MUSTER_TRY(alive_);
  for (PeerStream& server : servers_) server.send({.kind = Kind::kEnd});
  return talk(deadline());
}

std::uint64_t ParameterClient::payload_bytes_sent() const {
  std::uint64_t sent = 0;
  for (const PeerStream& server : servers_) sent += server.payload_sent();
  return sent;
}

}  // namespace muster::worker
