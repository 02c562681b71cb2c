#pragma once  // worker/parallel/mirror.h: each server's part is held by the next server, too
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "worker/parallel/shard_message.h"
#include "worker/parallel/shard_state.h"

namespace muster::worker {

struct MirrorOptions {
  int shard = 0;  // 0 <= shard < shards: of this server
  int shards = 2;
  int workers = 1;              // the servers' ranks come behind theirs
  std::int64_t membership = 1;  // its number: of memberships that follow one another it grows
  MakeOptimizer make_optimizer{};
};

struct ServerMessage {
  ShardMessage head;
  std::span<const std::byte> body;  // stays until sent()
};

// A machine without I/O: a server's side of its own part, which the next server mirrors. An update is told to
// nobody before the mirror has it, so that whatever anybody knows of is in two processes.
class Original {
 public:
  Original(const MirrorOptions& options, ShardState& state);  // both outlive it

  // Once, by rank 0's beginning. `kept`: the state is of a membership before, or it is not here, and the
  // mirror has it; else it was just uploaded.
  void begin(std::int64_t total, bool kept);
  // The update that was just made, of `gradient`: it stays until is_even().
  void updated(std::int64_t step, std::int64_t examples, std::span<const float> gradient);

  // Of the mirror. Errors: kInternal: it may not say this now, or of that length; kUnavailable: neither has
  // the part.
  [[nodiscard]] Status check(const ShardMessage& head) const;
  [[nodiscard]] Status take(const ShardMessage& head, std::span<const std::byte> body);
  // To the mirror: one at a time, until it is sent().
  [[nodiscard]] std::optional<ServerMessage> next() const;
  void sent() { out_.pop_front(); }

  [[nodiscard]] bool is_settled() const { return turn_ == Turn::kSettled; }
  [[nodiscard]] bool is_even() const { return is_settled() && told_ == state_.updates; }

 private:
  void send_part();

  const MirrorOptions& options_;
  ShardState& state_;
  enum class Turn { kIdle, kCompares, kSends, kSettled } turn_ = Turn::kIdle;
  std::int64_t total_ = 0;
  std::int64_t told_ = 0;  // ShardState::updates that the mirror has
  std::vector<std::byte> part_;
  std::deque<ServerMessage> out_;
};

// The other side: the part of the server before this one. Likewise.
class Mirror {
 public:
  Mirror(const MirrorOptions& options, ShardState& copy);

  void begin(std::int64_t total) { total_ = total; }  // nothing is taken before
  [[nodiscard]] Status check(const ShardMessage& head) const;
  [[nodiscard]] Status take(const ShardMessage& head, std::span<const std::byte> body);
  [[nodiscard]] std::optional<ServerMessage> next() const;
  void sent() { out_.pop_front(); }

 private:
  [[nodiscard]] std::uint64_t part() const;
  void compare(const ShardMessage& head);

  const MirrorOptions& options_;
  ShardState& copy_;
  enum class Turn { kListens, kAwaitsPart, kFollows } turn_ = Turn::kListens;
  std::int64_t total_ = 0;
  std::vector<std::byte> part_;
  std::deque<ServerMessage> out_;
};

// Both of one server and membership, and who is who: with two servers, the next one is also the one before.
class Mirrors {
 public:
  Mirrors(MirrorOptions options, ShardState& state, ShardState& copy);  // s >= 2
  Mirrors(const Mirrors&) = delete;
  Mirrors& operator=(const Mirrors&) = delete;

  [[nodiscard]] int next_shard() const { return (options_.shard + 1) % options_.shards; }
  [[nodiscard]] int previous_shard() const {
    return (options_.shard + options_.shards - 1) % options_.shards;
  }
  void begin(std::int64_t total, bool kept);
  [[nodiscard]] Status check(int shard, const ShardMessage& head) const;
  [[nodiscard]] Status take(int shard, const ShardMessage& head, std::span<const std::byte> body);
  [[nodiscard]] std::optional<ServerMessage> next_to(int shard) const;
  void sent(const ShardMessage& head);

  [[nodiscard]] Original& original() { return original_; }
  [[nodiscard]] const Original& original() const { return original_; }

 private:
  MirrorOptions options_;
  Original original_;
  Mirror mirror_;
};

}  // namespace muster::worker
