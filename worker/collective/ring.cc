// worker/collective/ring.cc: ring all-reduce, broadcast and barrier as two byte streams with a lag between
// them
#include "worker/collective/ring.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/base/check.h"
#include "worker/collective/reduce.h"

namespace muster::worker {
namespace {

enum class Kind : std::uint32_t { kAllReduce = 1, kBroadcast = 2 };

constexpr std::uint32_t kMagic = 0x474e524d;    // "MRNG"
constexpr std::size_t kSendBytes = 512 * 1024;  // of one send: longer ones would let received bytes grow cold
// Two ranks exchange whole buffers of up to this size: as many bytes as the ring's two steps, half the
// latency, twice the additions.
constexpr std::size_t kExchangeBytes = 256 * 1024;

struct Header {  // equal on all ranks, or they do not make the same call
  std::uint32_t magic = kMagic;
  Kind kind = Kind::kAllReduce;
  std::uint32_t call = 0;
  std::uint32_t root_and_traffic = 0;
  std::uint64_t bytes = 0;
};
static_assert(sizeof(Header) == 24);

}  // namespace

// One call: what goes out, what comes in, and how far both are.
struct Ring::Stream {
  struct Piece {
    std::byte* data = nullptr;
    std::size_t size = 0;
    bool reduce = false;  // add to `data` instead of replacing it
  };
  // A direction: a header, then pieces in order.
  struct Flow {
    std::vector<Piece> pieces;
    std::size_t piece = 0;
    std::size_t offset = 0;  // in pieces[piece]
    std::size_t header = 0;  // bytes of the header that have moved
    std::size_t moved = 0;   // bytes of all pieces that have moved
    std::size_t total = 0;

    void add(std::byte* data, std::size_t size, bool reduce) {
      if (size == 0) return;
      pieces.push_back({data, size, reduce});
      total += size;
    }
    void advance(std::size_t bytes) {
      MUSTER_CHECK(bytes <= left_in_piece());  // more would be of another buffer
      offset += bytes;
      moved += bytes;
      if (piece < pieces.size() && offset == pieces[piece].size) {
        ++piece;
        offset = 0;
      }
    }
    [[nodiscard]] bool active() const { return !pieces.empty(); }
    [[nodiscard]] bool done() const { return !active() || (header == sizeof(Header) && moved == total); }
    [[nodiscard]] std::size_t left_in_piece() const {
      return piece < pieces.size() ? pieces[piece].size - offset : 0;
    }
  };

  Header expected;
  Header arrived;
  Traffic traffic = Traffic::kControl;
  Flow out;
  Flow in;
  std::size_t own = 0;               // bytes of `out` that do not depend on what comes in
  bool receive_behind_send = false;  // `in` overwrites what `out` must have sent before
  std::size_t carry = 0;             // bytes of a split float at the start of segment_
  bool may_send = true;              // until a link says that it would block
  bool may_receive = false;

  [[nodiscard]] std::size_t sendable() const {
    const std::size_t ready = std::min(own + in.moved, out.total);
    MUSTER_CHECK(out.moved <= ready);  // what was sent before it was reduced would be a wrong sum
    return ready - out.moved;
  }
  [[nodiscard]] bool can_send() const {
    return out.active() && (out.header < sizeof(Header) || sendable() > 0);
  }
  [[nodiscard]] std::size_t receivable() const {
    MUSTER_CHECK(carry <= in.left_in_piece());
    const std::size_t left = in.left_in_piece() - carry;
    if (!receive_behind_send) return left;
    MUSTER_CHECK(in.moved + carry <= out.moved);  // else it has overwritten what was not sent yet
    return std::min(left, out.moved - in.moved - carry);
  }
  [[nodiscard]] bool can_receive() const {
    return in.active() && (in.header < sizeof(Header) || receivable() > 0);
  }
};

Ring::Ring(std::unique_ptr<RingLinks> links) : links_(std::move(links)), segment_(kSegmentBytes) {
  MUSTER_CHECK(links_ != nullptr && links_->size() >= 2);
}

Status Ring::all_reduce_sum(std::span<float> buffer, Traffic traffic, Deadline deadline) {
  if (buffer.empty()) return {};
  const auto data = std::as_writable_bytes(buffer);
  Stream stream;
  stream.traffic = traffic;
  stream.expected = {.kind = Kind::kAllReduce,
                     .call = calls_++,
                     .root_and_traffic = static_cast<std::uint32_t>(traffic),
                     .bytes = data.size()};
  if (size() == 2 && data.size() <= kExchangeBytes) {
    stream.out.add(data.data(), data.size(), false);
    stream.in.add(data.data(), data.size(), true);
    stream.own = data.size();
    stream.receive_behind_send = true;
    return run(stream, deadline);
  }
  const RingPlan plan(buffer.size(), size());
  for (int step = 0; step < plan.steps(); ++step) {
    const Chunk sent = plan.sent(rank(), step);
    const Chunk received = plan.received(rank(), step);
    stream.out.add(data.data() + sent.begin * sizeof(float), sent.size * sizeof(float), false);
    stream.in.add(data.data() + received.begin * sizeof(float), received.size * sizeof(float),
                  step < plan.reduce_steps());
  }
  stream.own = plan.sent(rank(), 0).size * sizeof(float);
  return run(stream, deadline);
}

Status Ring::broadcast(std::span<std::byte> buffer, int root, Deadline deadline) {
  MUSTER_CHECK(root >= 0 && root < size());
  if (buffer.empty()) return {};
  Stream stream;
  stream.expected = {.kind = Kind::kBroadcast,
                     .call = calls_++,
                     .root_and_traffic = static_cast<std::uint32_t>(root) << 8U,
                     .bytes = buffer.size()};
  if (rank() != root) stream.in.add(buffer.data(), buffer.size(), false);
  if ((rank() + 1) % size() != root) stream.out.add(buffer.data(), buffer.size(), false);
  stream.own = rank() == root ? buffer.size() : 0;
  return run(stream, deadline);
}

Status Ring::barrier(Deadline deadline) {
  // A sum with one element a rank: its end depends on every rank's beginning.
  std::vector<float> ones(static_cast<std::size_t>(size()), 1.0F);
  return all_reduce_sum(ones, Traffic::kControl, deadline);
}

Status Ring::run(Stream& stream, Deadline deadline) {
  while (!stream.out.done() || !stream.in.done()) {
    bool moved = false;
    if (stream.may_send && stream.can_send()) {
      MUSTER_ASSIGN(const std::size_t bytes, send(stream));
      moved = bytes > 0;
    }
    if (stream.may_receive && stream.can_receive()) {
      MUSTER_ASSIGN(const std::size_t bytes, receive(stream));
      moved = moved || bytes > 0;
    }
    if (moved) continue;
    const bool sending = stream.can_send();
    MUSTER_ASSIGN(const RingLinks::Ready ready, links_->wait(sending, stream.can_receive(), deadline));
    stream.may_send = !sending || ready.send;
    stream.may_receive = ready.receive;
  }
  return {};
}

Result<std::size_t> Ring::send(Stream& stream) {
  Stream::Flow& out = stream.out;
  const auto head = std::as_bytes(std::span(&stream.expected, 1)).subspan(out.header);
  const std::size_t wanted = std::min({out.left_in_piece(), stream.sendable(), kSendBytes});
  const std::span<const std::byte> body(wanted == 0 ? nullptr : out.pieces[out.piece].data + out.offset,
                                        wanted);
  MUSTER_ASSIGN(const std::size_t bytes, links_->send_some(head, body));
  stream.may_send = bytes == head.size() + body.size();
  const std::size_t of_head = std::min(bytes, head.size());
  out.header += of_head;
  out.advance(bytes - of_head);
  sent_.control += of_head;
  (stream.traffic == Traffic::kPayload ? sent_.payload : sent_.control) += bytes - of_head;
  return bytes;
}

Result<std::size_t> Ring::receive(Stream& stream) {
  Stream::Flow& in = stream.in;
  const auto head = std::as_writable_bytes(std::span(&stream.arrived, 1)).subspan(in.header);
  const bool reduce = in.piece < in.pieces.size() && in.pieces[in.piece].reduce;
  std::span<std::byte> body;
  if (reduce) {
    body = std::span(segment_).subspan(stream.carry);
    body = body.first(std::min(body.size(), stream.receivable()));
  } else if (in.piece < in.pieces.size()) {
    body = {in.pieces[in.piece].data + in.offset, stream.receivable()};
  }
  // What comes in must not touch the buffer before its header has been checked.
  if (!reduce && !head.empty()) body = {};
  MUSTER_ASSIGN(const std::size_t bytes, links_->receive_some(head, body));
  // A short message is mostly the last one for a while: asking again would cost a call for nothing.
  stream.may_receive =
      bytes == head.size() + body.size() && (!head.empty() || body.size() >= kSegmentBytes / 4);
  const std::size_t of_head = std::min(bytes, head.size());
  in.header += of_head;
  if (of_head > 0 && in.header == sizeof(Header) &&
      std::memcmp(&stream.arrived, &stream.expected, sizeof(Header)) != 0) {
    const int from = (rank() + size() - 1) % size();
    Error error =
        internal_error(fmt::format("rank {} makes call {} with {} bytes where this rank, {}, makes call {} "
                                   "with {} bytes: the ranks do not run "
                                   "the same program on the same spec",
                                   from, stream.arrived.call, stream.arrived.bytes, rank(),
                                   stream.expected.call, stream.expected.bytes));
    links_->leave(error);
    return error;
  }
  if (bytes > of_head) {
    if (reduce) {
      absorb(stream, bytes - of_head);
    } else {
      in.advance(bytes - of_head);
    }
  }
  return bytes;
}

// Adds the whole floats of the segment to the buffer; the bytes of a split one wait for the rest.
void Ring::absorb(Stream& stream, std::size_t bytes) {
  const std::size_t filled = stream.carry + bytes;
  const std::size_t floats = filled / sizeof(float);
  const std::size_t used = floats * sizeof(float);
  auto* target = reinterpret_cast<float*>(stream.in.pieces[stream.in.piece].data + stream.in.offset);
  add_to(target, reinterpret_cast<const float*>(segment_.data()), floats);
  stream.carry = filled - used;
  std::memmove(segment_.data(), segment_.data() + used, stream.carry);
  stream.in.advance(used);
}

}  // namespace muster::worker
