// tests/worker/mirror_test.cc: shards and their mirrors as machines: whichever server is lost at whatever
// point, nothing that anybody was told is lost with it
//
// Method: servers and workers exchange messages one by one, in an order that a seed gives; after the n-th one
// server is emptied, for every n and server, and all begin again. Update t adds 1 to place t of each part, so
// a part counts its updates.
#include "worker/parallel/mirror.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "common/base/random.h"
#include "worker/parallel/shard.h"

namespace muster::worker::test {
namespace {

using Kind = ShardMessage::Kind;
using Floats = std::vector<float>;

constexpr int kWorkers = 2;
constexpr std::int64_t kUpdates = 6;  // of a life, and the parameters of a part

std::unique_ptr<learning::Optimizer> adder(std::int64_t count) {
  spec::Optimizer sgd;
  sgd.learning_rate = 1;
  return learning::make_optimizer(sgd, count);
}

std::unique_ptr<learning::Optimizer> adam(std::int64_t count) {
  spec::Optimizer made;
  made.name = "Adam";
  return learning::make_optimizer(made, count);
}

struct Sent {
  ShardMessage head;
  std::vector<std::byte> body;
};

std::vector<std::byte> bytes_of(std::span<const std::byte> body) { return {body.begin(), body.end()}; }

// What the processes of the servers hold.
struct Servers {
  explicit Servers(int count)
      : states(static_cast<std::size_t>(count)), copies(static_cast<std::size_t>(count)) {}
  void lose(std::size_t server) {
    states[server] = {};
    copies[server] = {};
  }
  std::vector<ShardState> states, copies;
};

class Membership {
 public:
  Membership(Servers& servers, std::int64_t number, bool asynchronous, MakeOptimizer make = adder)
      : servers_(servers), asynchronous_(asynchronous), size_(static_cast<int>(servers.states.size())) {
    for (int shard = 0; shard < size_; ++shard) {
      const auto at = static_cast<std::size_t>(shard);
      mirrors_.push_back(std::make_unique<Mirrors>(MirrorOptions{.shard = shard,
                                                                 .shards = size_,
                                                                 .workers = kWorkers,
                                                                 .membership = number,
                                                                 .make_optimizer = make},
                                                   servers.states[at], servers.copies[at]));
      shards_.push_back(std::make_unique<Shard>(ShardOptions{.shard = shard,
                                                             .shards = size_,
                                                             .workers = kWorkers,
                                                             .asynchronous = asynchronous,
                                                             .make_optimizer = make},
                                                servers.states[at], mirrors_.back().get()));
    }
  }

  // One message from a worker, or a reply.
  void say(int worker, int shard, ShardMessage head, const Floats& body = {}) {
    auto& kept = bodies_[{worker, shard}];
    kept.resize(body.size() * sizeof(float));
    if (!body.empty()) std::memcpy(kept.data(), body.data(), kept.size());
    head.bytes = kept.size();
    Shard& to = *shards_[static_cast<std::size_t>(shard)];
    const Status allowed = to.check(worker, head);
    ASSERT_TRUE(allowed) << allowed.error().message;
    ASSERT_TRUE(to.take(worker, head, kept));
  }
  void begin(bool kept) {
    for (int shard = 0; shard < size_; ++shard)
      say(0, shard,
          {.kind = Kind::kBegin,
           .flags = static_cast<std::uint16_t>(kept ? ShardMessage::kKept : 0),
           .total = kUpdates * size_},
          Floats(kept ? 0 : kUpdates));
  }

  // Everything that may happen next between servers, and answers to workers.
  struct Event {
    int from, to;  // servers; from == to: its next reply
  };
  std::vector<Event> events() {
    std::vector<Event> possible;
    for (int from = 0; from < size_; ++from) {
      for (int to = 0; to < size_; ++to)
        if (from != to && shards_[static_cast<std::size_t>(from)]->mirrors() != nullptr &&
            mirrors_[static_cast<std::size_t>(from)]->next_to(to) &&
            shards_[static_cast<std::size_t>(to)]->mirrors() != nullptr)
          possible.push_back({from, to});
      if (!replies_[from]) replies_[from] = shards_[static_cast<std::size_t>(from)]->next_reply();
      if (replies_[from]) possible.push_back({from, from});
    }
    return possible;
  }
  std::optional<Shard::Reply> happen(const Event& event) {
    if (event.from == event.to) return std::exchange(replies_[event.from], std::nullopt);
    Mirrors& from = *mirrors_[static_cast<std::size_t>(event.from)];
    Mirrors& to = *mirrors_[static_cast<std::size_t>(event.to)];
    const auto message = from.next_to(event.to);
    ShardMessage head = message->head;
    head.bytes = message->body.size();
    const auto body = bytes_of(message->body);
    from.sent(head);
    const Status allowed = to.check(event.from, head);
    EXPECT_TRUE(allowed) << allowed.error().message;
    EXPECT_TRUE(to.take(event.from, head, body));
    return std::nullopt;
  }
  // Until nothing more happens.
  int settle(Random& random) {
    int replies = 0;
    for (auto possible = events(); !possible.empty(); possible = events())
      if (happen(possible[random.below(possible.size())])) ++replies;
    return replies;
  }

  // Each copy is its original, bit for bit.
  void expect_even() const {
    for (int shard = 0; shard < size_; ++shard) {
      const ShardState& original = servers_.states[static_cast<std::size_t>(shard)];
      const ShardState& copy = servers_.copies[static_cast<std::size_t>((shard + 1) % size_)];
      EXPECT_EQ(encode_part(original), encode_part(copy)) << shard;
      EXPECT_EQ(std::tie(original.total, original.origin, original.updates),
                std::tie(copy.total, copy.origin, copy.updates));
      EXPECT_TRUE(mirrors_[static_cast<std::size_t>(shard)]->original().is_even());
    }
  }
  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] bool is_asynchronous() const { return asynchronous_; }
  Mirrors& mirrors(int shard) { return *mirrors_[static_cast<std::size_t>(shard)]; }

 private:
  Servers& servers_;
  bool asynchronous_;
  int size_;
  std::vector<std::unique_ptr<Mirrors>> mirrors_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::map<std::pair<int, int>, std::vector<std::byte>> bodies_;
  std::map<int, std::optional<Shard::Reply>> replies_;
};

Floats one_at(std::int64_t update) {
  Floats gradient(kUpdates);
  gradient[static_cast<std::size_t>(update)] = -1;
  return gradient;
}

// Workers that push to all servers, each as soon as it may, for at most `events` events.
class Training {
 public:
  Training(Membership& membership, std::uint64_t seed) : membership_(membership), random_(seed) {}

  // By server: the updates that somebody was told of.
  std::map<int, std::set<std::int64_t>> run(int events_max) {
    membership_.begin(false);
    EXPECT_EQ(membership_.settle(random_), membership_.size());
    membership_.expect_even();
    start();
    for (int done = 0; done < events_max; ++done) {
      const auto possible = membership_.events();
      const std::size_t all = possible.size() + pushes_.size();
      if (all == 0) break;
      ++events;
      if (const auto pick = random_.below(all); pick < pushes_.size()) {
        push(pick);
      } else if (const auto reply = membership_.happen(possible[pick - pushes_.size()])) {
        hear(possible[pick - pushes_.size()].from, *reply);
      }
    }
    return told_;
  }
  int events = 0;

 private:
  struct Push {
    int worker, shard;
  };
  struct Worker {
    std::int64_t update = 0;
    int waits_for = 0;  // servers
    std::int64_t next = 0;
    bool over = false;
  };

  void start() {
    for (int worker = 0; worker < kWorkers; ++worker) {
      for (int shard = 0; shard < membership_.size(); ++shard) {
        if (membership_.is_asynchronous() && worker == 0)
          membership_.say(0, shard, {.kind = Kind::kSegment, .step = 0, .total = kUpdates});
        if (membership_.is_asynchronous())
          membership_.say(worker, shard, {.kind = Kind::kPull, .step = 0});
        else
          pushes_.push_back({worker, shard});
      }
      workers_[worker].waits_for = membership_.size();
    }
  }

  void push(std::size_t pick) {
    const Push one = pushes_[pick];
    pushes_.erase(pushes_.begin() + static_cast<std::ptrdiff_t>(pick));
    const std::int64_t update = workers_[one.worker].update;
    membership_.say(one.worker, one.shard,
                    {.kind = Kind::kPush,
                     .step = update,
                     .examples = 1,
                     .total = membership_.is_asynchronous() ? 1 : kWorkers},
                    one_at(update));
  }

  void hear(int shard, const Shard::Reply& reply) {
    Worker& worker = workers_[reply.worker];
    Floats parameters(reply.body.size() / sizeof(float));
    std::memcpy(parameters.data(), reply.body.data(), reply.body.size());
    for (std::int64_t update = 0; update < kUpdates; ++update)
      if (parameters[static_cast<std::size_t>(update)] != 0) told_[shard].insert(update);
    if (shard == 0) {
      worker.next = membership_.is_asynchronous() ? reply.head.step : worker.update + 1;
      worker.over =
          membership_.is_asynchronous() ? reply.head.has(ShardMessage::kOver) : worker.next == kUpdates;
    }
    if (--worker.waits_for > 0 || worker.over) return;
    worker.update = worker.next;
    worker.waits_for = membership_.size();
    for (int to = 0; to < membership_.size(); ++to) pushes_.push_back({reply.worker, to});
  }

  Membership& membership_;
  Random random_;
  std::map<int, Worker> workers_;
  std::vector<Push> pushes_;
  std::map<int, std::set<std::int64_t>> told_;
};

class AnyServer : public testing::TestWithParam<std::tuple<int, bool>> {};
INSTANTIATE_TEST_SUITE_P(Servers, AnyServer, testing::Combine(testing::Values(2, 3, 4), testing::Bool()),
                         [](const auto& one) {
                           return std::to_string(std::get<0>(one.param)) +
                                  (std::get<1>(one.param) ? "Asynchronous" : "Synchronous");
                         });

TEST_P(AnyServer, LostAtAnyPointTakesNothingWithItThatAnybodyWasTold) {
  const auto [size, asynchronous] = GetParam();
  const std::uint64_t seed = 20261130;
  int lives = 0;
  for (int lost = 0; lost < size; ++lost) {
    for (int point = 0;; ++point) {
      SCOPED_TRACE(testing::Message()
                   << "seed " << seed << ", server " << lost << " lost at event " << point);
      Servers servers(size);
      std::map<int, std::set<std::int64_t>> told;
      int events = 0;
      {
        Membership first(servers, 1, asynchronous);
        Training training(first, seed + static_cast<std::uint64_t>(lost));
        told = training.run(point);
        events = training.events;
      }
      servers.lose(static_cast<std::size_t>(lost));
      Membership second(servers, 2, asynchronous);
      second.begin(true);
      Random random(seed);
      ASSERT_EQ(second.settle(random), size) << "all servers begin";
      second.expect_even();
      for (int shard = 0; shard < size; ++shard) {
        const ShardState& state = servers.states[static_cast<std::size_t>(shard)];
        for (const std::int64_t update : told[shard])
          EXPECT_EQ(state.parameters[static_cast<std::size_t>(update)], 1) << update;
        for (std::int64_t update = 0; update < kUpdates; ++update) {
          const float count = state.parameters[static_cast<std::size_t>(update)];
          EXPECT_EQ(count, update < state.base || state.done.contains(update) ? 1 : 0) << update;
        }
      }
      if (HasFailure()) return;
      ++lives;
      if (events < point) break;  // the training was over before
    }
  }
  EXPECT_GT(lives, 100) << "too short to tell anything";
}

TEST(Mirror, OfTwoThatAreThereNothingIsSentAnew) {
  Servers servers(2);
  Random random(1);
  {
    Membership first(servers, 1, false, adam);
    first.begin(false);
    first.settle(random);
  }
  Membership second(servers, 2, false, adam);
  second.begin(true);
  int parts = 0;
  for (auto possible = second.events(); !possible.empty(); possible = second.events()) {
    const auto& event = possible.front();
    if (event.from != event.to && !second.mirrors(event.from).next_to(event.to)->body.empty()) ++parts;
    second.happen(event);
  }
  EXPECT_EQ(parts, 0);
  second.expect_even();
}

TEST(Mirror, APartThatIsLostOnBothSidesIsTold) {
  Servers servers(3);
  Random random(1);
  {
    Membership first(servers, 1, false);
    first.begin(false);
    first.settle(random);
  }
  servers.lose(1);
  servers.lose(2);
  Membership second(servers, 2, false);
  second.begin(true);
  Mirrors& asks = second.mirrors(1);
  ShardMessage none{.kind = Kind::kCopy};
  ASSERT_TRUE(asks.next_to(2));
  asks.sent(asks.next_to(2)->head);
  const Status said = asks.check(2, none);
  ASSERT_FALSE(said);
  EXPECT_EQ(said.error().code, Code::kUnavailable);
  EXPECT_NE(said.error().message.find("server 1 has lost its part of the parameters, and server 2 its copy"),
            std::string::npos)
      << said.error().message;
}

TEST(Mirror, RefusesWhatAnotherServerMayNotSay) {
  struct Case {
    const char* name;
    int from;
    ShardMessage head;
    bool begun;
  };
  const std::int64_t total = kUpdates * 3;
  const std::uint64_t part = part_bytes(kUpdates, 1);
  const Case cases[] = {
      {"a part from a server that is not before this one",
       2,
       {.kind = Kind::kPart, .total = total, .bytes = part},
       false},
      {"a copy from a server that is no mirror", 0, {.kind = Kind::kCopy, .total = total}, false},
      {"a part of another model", 0, {.kind = Kind::kPart, .total = total + 1, .bytes = part}, false},
      {"a part that is too short", 0, {.kind = Kind::kPart, .total = total, .bytes = part - 1}, false},
      {"a part that is endless",
       0,
       {.kind = Kind::kPart, .total = total, .bytes = part + (kDoneMax + 1) * 16},
       false},
      {"an update before the part", 0, {.kind = Kind::kUpdate, .bytes = kUpdates * sizeof(float)}, false},
      {"an update of another length", 0, {.kind = Kind::kUpdate, .bytes = 4}, true},
      {"an update before the base",
       0,
       {.kind = Kind::kUpdate, .step = 1, .total = 2, .bytes = kUpdates * sizeof(float)},
       true},
      {"another comparison", 0, {.kind = Kind::kShard, .total = total}, true},
      {"another part", 0, {.kind = Kind::kPart, .total = total, .bytes = part}, true},
      {"what was not sent it has", 2, {.kind = Kind::kHave, .step = 1}, true},
      {"a copy that nobody asked for", 2, {.kind = Kind::kCopy, .total = total}, true},
      {"a push", 0, {.kind = Kind::kPush, .total = 1}, true},
      {"no kind at all", 0, {.kind = static_cast<Kind>(99)}, true},
  };
  for (const Case& one : cases) {
    Servers servers(3);
    Membership membership(servers, 1, false);
    Random random(1);
    membership.begin(false);
    if (one.begun) membership.settle(random);
    const Status said = membership.mirrors(1).check(one.from, one.head);
    ASSERT_FALSE(said) << one.name;
    EXPECT_EQ(said.error().code, Code::kInternal);
    EXPECT_NE(said.error().message.find("rank " + std::to_string(kWorkers + one.from)), std::string::npos);
  }
}

TEST(ShardState, APartIsReadAsItWasWrittenAndNonsenseChangesNothing) {
  ShardState state{
      .total = 8, .parameters = {1, 2, 3, 4}, .optimizer = adam(4), .base = 5, .base_position = 50};
  for (const std::int64_t step : {5, 7, 8}) make_update(state, step, 10 + step, Floats{1, -1, 0, 2});
  const auto bytes = encode_part(state);
  ShardState read;
  ASSERT_TRUE(decode_part(bytes, 4, adam, read));
  EXPECT_EQ(encode_part(read), bytes);
  EXPECT_EQ(read.done, state.done);
  make_update(read, 9, 1, Floats{1, 2, 3, 4});
  make_update(state, 9, 1, Floats{1, 2, 3, 4});
  EXPECT_EQ(encode_part(read), encode_part(state)) << "the optimizer's state came along";
  const auto before = encode_part(read);
  for (const std::size_t cut : {std::size_t{0}, std::size_t{23}, bytes.size() - 1})
    EXPECT_FALSE(decode_part(std::span(bytes).first(cut), 4, adam, read)) << cut;
  auto early = bytes;  // an update before the base
  const std::int64_t step = 4;
  std::memcpy(early.data() + part_bytes(4, 2), &step, sizeof step);
  EXPECT_FALSE(decode_part(early, 4, adam, read));
  EXPECT_EQ(encode_part(read), before);
}

}  // namespace
}  // namespace muster::worker::test
