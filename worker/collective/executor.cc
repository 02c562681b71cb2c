// worker/collective/executor.cc: one lane a peer, each with its moves out and in, and how far every move is
#include "worker/collective/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/base/check.h"
#include "worker/collective/reduce.h"

namespace muster::worker {
namespace {

constexpr std::size_t kSendBytes = 512 * 1024;  // of one send: longer ones would let received bytes grow cold

}  // namespace

class Executor::Run {
 public:
  Run(Executor& executor, const Call& call) : executor_(executor), mesh_(executor.mesh_), call_(call) {
    MUSTER_CHECK(call.buffer.size() == call.extent.all() * call.element);
    states_.reserve(call.schedule.moves.size());
    for (const Move& move : call.schedule.moves) add(move);
    if (scratch_) executor_.scratch_.resize(call.buffer.size());
  }

  Status finish(Deadline deadline) {
    while (true) {
      bool moved = false;
      bool done = true;
      for (Lane& lane : lanes_) {
        if (lane.peer == mesh_.rank()) {
          moved = copy(lane) || moved;
        } else {
          if (lane.may_send && can_send(lane)) {
            MUSTER_ASSIGN(const std::size_t bytes, send(lane));
            moved = moved || bytes > 0;
          }
          if (lane.may_receive && can_receive(lane)) {
            MUSTER_ASSIGN(const std::size_t bytes, receive(lane));
            moved = moved || bytes > 0;
          }
        }
        done = done && lane.done();
      }
      if (done) return {};
      if (!moved) MUSTER_TRY(wait(deadline));
    }
  }

 private:
  struct State {  // of a move; bytes
    const Move* move = nullptr;
    std::size_t begin = 0;
    std::size_t size = 0;
    std::size_t done = 0;  // sent, or in its place
    [[nodiscard]] bool finished() const { return done == size; }
  };
  struct Flow {  // a direction of a lane
    std::vector<std::size_t> moves;
    std::size_t next = 0;    // in `moves`
    std::size_t header = 0;  // bytes of it that have moved
    [[nodiscard]] bool active() const { return !moves.empty(); }
    [[nodiscard]] bool header_done() const { return header == sizeof(CallHeader); }
    [[nodiscard]] bool done() const { return !active() || (header_done() && next == moves.size()); }
  };
  struct Lane {
    explicit Lane(int to) : peer(to) {}
    int peer;
    Flow out;
    Flow in;
    CallHeader arrived;
    std::array<std::byte, sizeof(float)> carry{};  // the bytes of a split float
    std::size_t carried = 0;
    bool may_send = true;  // until the mesh says that it would block
    bool may_receive = false;
    [[nodiscard]] bool done() const { return out.done() && in.done(); }
  };

  void add(const Move& move) {
    const std::size_t index = states_.size();
    states_.push_back(
        {.move = &move, .begin = move.chunk.begin * call_.element, .size = move.chunk.size * call_.element});
    scratch_ = scratch_ || move.scratch;
    auto lane = std::find_if(lanes_.begin(), lanes_.end(),
                             [&](const Lane& known) { return known.peer == move.peer; });
    if (lane == lanes_.end()) {
      lane = lanes_.insert(lanes_.end(), Lane(move.peer));
      if (move.peer == mesh_.rank()) lane->out.header = lane->in.header = sizeof(CallHeader);
    }
    MUSTER_CHECK(move.kind != Move::Kind::kReduce || call_.element == sizeof(float));
    (move.kind == Move::Kind::kSend ? lane->out : lane->in).moves.push_back(index);
  }

  // The move that is next; those that have nothing to move are over.
  [[nodiscard]] State* next(Flow& flow) {
    while (flow.next < flow.moves.size() && states_[flow.moves[flow.next]].finished()) ++flow.next;
    return flow.next == flow.moves.size() ? nullptr : &states_[flow.moves[flow.next]];
  }

  // Bytes by which `state` may go on now.
  [[nodiscard]] std::size_t allowed(const State& state) const {
    std::size_t limit = state.size;
    for (const int index : state.move->after) {
      if (index < 0) continue;
      const State& before = states_[static_cast<std::size_t>(index)];
      if (before.finished()) continue;
      const std::size_t frontier = before.begin + before.done;
      limit = std::min(limit, frontier - std::min(frontier, state.begin));
    }
    MUSTER_CHECK(state.done <= limit);  // what was passed on before it was there would be a wrong sum
    return limit - state.done;
  }

  [[nodiscard]] bool can_send(Lane& lane) {
    if (!lane.out.active()) return false;
    if (!lane.out.header_done()) return true;
    const State* state = next(lane.out);
    return state != nullptr && allowed(*state) > 0;
  }
  [[nodiscard]] bool can_receive(Lane& lane) {
    if (!lane.in.active()) return false;
    if (!lane.in.header_done()) return true;
    const State* state = next(lane.in);
    return state != nullptr && allowed(*state) > lane.carried;
  }

  [[nodiscard]] std::byte* place(const State& state) const {
    std::byte* base = state.move->scratch ? executor_.scratch_.data() : call_.buffer.data();
    return base + state.begin + state.done;
  }

  Result<std::size_t> send(Lane& lane) {
    const auto head = std::as_bytes(std::span(&call_.header, 1)).subspan(lane.out.header);
    State* state = next(lane.out);
    const std::size_t wanted = state == nullptr ? 0 : std::min(allowed(*state), kSendBytes);
    const std::span<const std::byte> body(wanted == 0 ? nullptr : place(*state), wanted);
    MUSTER_ASSIGN(const std::size_t bytes, mesh_.send_some(lane.peer, head, body));
    lane.may_send = bytes == head.size() + body.size();
    const std::size_t of_head = std::min(bytes, head.size());
    lane.out.header += of_head;
    executor_.sent_.control += of_head;
    if (bytes > of_head) count(*state, bytes - of_head);
    (void)next(lane.out);
    return bytes;
  }

  void count(State& state, std::size_t bytes) {
    const std::size_t from = state.begin + state.done;
    const std::size_t payload_end = std::max(call_.extent.elements * call_.element, from);
    const std::size_t payload = std::min(bytes, payload_end - from);
    executor_.sent_.payload += payload;
    executor_.sent_.control += bytes - payload;
    state.done += bytes;
  }

  Result<std::size_t> receive(Lane& lane) {
    const auto head = std::as_writable_bytes(std::span(&lane.arrived, 1)).subspan(lane.in.header);
    State* state = next(lane.in);
    const bool reduce = state != nullptr && state->move->kind == Move::Kind::kReduce;
    std::span<std::byte> body;
    if (state != nullptr) {
      const std::size_t wanted = allowed(*state) - lane.carried;
      if (reduce) {
        body = std::span(executor_.segment_).subspan(lane.carried);
        body = body.first(std::min(body.size(), wanted));
      } else if (head.empty()) {  // what comes in must not touch the buffer before the header is checked
        body = {place(*state), wanted};
      }
    }
    MUSTER_ASSIGN(const std::size_t bytes, mesh_.receive_some(lane.peer, head, body));
    // A short message is mostly the last one for a while: asking again would cost a call for nothing.
    lane.may_receive =
        bytes == head.size() + body.size() && (!head.empty() || body.size() >= kSegmentBytes / 4);
    const std::size_t of_head = std::min(bytes, head.size());
    lane.in.header += of_head;
    if (of_head > 0 && lane.in.header_done()) MUSTER_TRY(check(lane));
    if (bytes > of_head) {
      if (reduce) {
        absorb(lane, *state, bytes - of_head);
      } else {
        state->done += bytes - of_head;
      }
    }
    (void)next(lane.in);
    return bytes;
  }

  Status check(const Lane& lane) {
    if (std::memcmp(&lane.arrived, &call_.header, sizeof(CallHeader)) == 0) return {};
    Error error = internal_error(fmt::format(
        "rank {} makes call {} with {} bytes where this rank, {}, makes call {} with {} bytes: the "
        "ranks do not run the same program on the same spec",
        lane.peer, lane.arrived.call, lane.arrived.bytes, mesh_.rank(), call_.header.call,
        call_.header.bytes));
    mesh_.leave(error);
    return error;
  }

  // Adds the whole floats of the segment to the buffer; the bytes of a split one wait for the rest.
  void absorb(Lane& lane, State& state, std::size_t bytes) {
    std::byte* const segment = executor_.segment_.data();
    std::memcpy(segment, lane.carry.data(), lane.carried);
    const std::size_t filled = lane.carried + bytes;
    const std::size_t floats = filled / sizeof(float);
    const std::size_t used = floats * sizeof(float);
    add_to(reinterpret_cast<float*>(place(state)), reinterpret_cast<const float*>(segment), floats);
    lane.carried = filled - used;
    std::memcpy(lane.carry.data(), segment + used, lane.carried);
    state.done += used;
  }

  // A rank's moves to itself. True: something was moved.
  bool copy(Lane& lane) {
    bool moved = false;
    while (true) {
      State* from = next(lane.out);
      State* to = next(lane.in);
      if (from == nullptr || to == nullptr) return moved;
      std::size_t bytes = std::min(allowed(*from), allowed(*to));
      bytes -= bytes % call_.element;
      if (bytes == 0) return moved;
      if (to->move->kind == Move::Kind::kReduce) {
        add_to(reinterpret_cast<float*>(place(*to)), reinterpret_cast<const float*>(place(*from)),
               bytes / sizeof(float));
      } else {
        std::memcpy(place(*to), place(*from), bytes);
      }
      from->done += bytes;
      to->done += bytes;
      moved = true;
    }
  }

  Status wait(Deadline deadline) {
    interests_.clear();
    waiting_.clear();
    for (Lane& lane : lanes_) {
      if (lane.peer == mesh_.rank()) continue;
      const bool sending = can_send(lane);
      const bool receiving = can_receive(lane);
      if (sending || receiving) {
        interests_.push_back({.peer = lane.peer, .send = sending, .receive = receiving});
        waiting_.push_back(&lane);
      }
      // What this rank has nothing for now it may send at once when it has.
      lane.may_send = !sending;
      lane.may_receive = false;
    }
    MUSTER_CHECK(!interests_.empty());  // a schedule whose moves wait for each other
    MUSTER_TRY(mesh_.wait(interests_, deadline));
    for (std::size_t i = 0; i < waiting_.size(); ++i) {
      waiting_[i]->may_send = waiting_[i]->may_send || interests_[i].send;
      waiting_[i]->may_receive = interests_[i].receive;
    }
    return {};
  }

  Executor& executor_;
  Mesh& mesh_;
  const Call& call_;
  std::vector<State> states_;
  std::vector<Lane> lanes_;
  std::vector<Mesh::Interest> interests_;
  std::vector<Lane*> waiting_;  // whose they are
  bool scratch_ = false;
};

Status Executor::run(const Call& call, Deadline deadline) { return Run(*this, call).finish(deadline); }

}  // namespace muster::worker
