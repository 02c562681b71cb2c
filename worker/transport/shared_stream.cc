// worker/transport/shared_stream.cc: the offer, and then a queue with its wake-ups
#include "worker/transport/shared_stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "worker/transport/shared_queue.h"

namespace muster::worker {
namespace {

constexpr std::uint32_t kMagic = 0x4d454d31U;  // "MEM1"
constexpr std::byte kTaken{'Y'};
constexpr std::byte kNotTaken{'N'};

struct Offer {
  std::uint32_t magic = kMagic;
  std::uint32_t there_is_one = 0;
  SharedQueue::Place place{};
};
static_assert(sizeof(Offer) == 40);

// Only then an offer is worth the wait for its answer. Whether it holds, the acceptor finds out.
bool may_be_one_machine(int fd) {
  Address mine;
  Address theirs;
  if (getsockname(fd, mine.any(), &mine.length) != 0 || getpeername(fd, theirs.any(), &theirs.length) != 0)
    return false;
  const auto is_loopback = [](const std::string& ip) { return ip.starts_with("127.") || ip == "::1"; };
  return mine.ip() == theirs.ip() || (is_loopback(mine.ip()) && is_loopback(theirs.ip()));
}

enum class Stage : std::uint8_t {
  kOffering,  // the offer is on its way
  kAsking,    // and so is its answer
  kMemory,
  kSocket,
};

// One way only.
class SharedStream : public PlainStream {
 public:
  using PlainStream::PlainStream;
  [[nodiscard]] bool in_memory() const override { return stage_ == Stage::kMemory; }
  [[nodiscard]] bool can_move(Way way) const override {
    return in_memory() && (way == Way::kSend ? queue_->can_write() : queue_->can_read());
  }
  [[nodiscard]] bool can_move_before_wait(Way way) override {
    if (!in_memory() || can_move(way)) return in_memory();
    if (way == Way::kSend) {
      queue_->writer_waits();
    } else {
      queue_->reader_waits();
    }
    return can_move(way);
  }

 protected:
  void wake() const {
    const std::byte bell{};
    // A full socket holds bells enough; one that is gone is noticed by whoever reads it.
    static_cast<void>(::send(fd(), &bell, 1, MSG_NOSIGNAL | MSG_DONTWAIT));
  }

  // Nothing moved: takes the bells out of the socket, and says whether it has come to its end.
  [[nodiscard]] Moved::End hear() const {
    std::array<std::byte, 64> bells{};
    const ssize_t heard = recv(fd(), bells.data(), bells.size(), MSG_DONTWAIT);
    if (heard > 0) return Moved::End::kNone;
    return heard == 0 ? Moved::End::kClosed : end_of(errno);
  }

  // `move` of the queue; once more after the bells, as bytes may have come with the last one, or before the
  // end.
  template <typename Move>
  [[nodiscard]] Moved move_or_hear(const Move& move) const {
    std::optional<std::size_t> moved = move();
    Moved::End end = Moved::End::kNone;
    if (moved == 0) {
      end = hear();
      moved = move();
    }
    if (!moved) return {.end = Moved::End::kForged};
    return {.bytes = *moved, .end = *moved > 0 ? Moved::End::kNone : end};
  }

  // NOLINTBEGIN(misc-non-private-member-variables-in-classes): of the two below
  Stage stage_ = Stage::kOffering;
  std::optional<SharedQueue> queue_;
  Offer offer_{};
  std::size_t moved_ = 0;  // of the offer
  // NOLINTEND(misc-non-private-member-variables-in-classes)
};

class Writer final : public SharedStream {
 public:
  Writer(Fd connection, int& offers_left) : SharedStream(std::move(connection)) {
    if (offers_left <= 0 || !may_be_one_machine(fd())) return;
    queue_ = SharedQueue::make();
    if (!queue_) return;
    --offers_left;
    offer_ = {.there_is_one = 1, .place = queue_->place()};
  }

  Moved send(std::span<const std::byte> head, std::span<const std::byte> body) override {
    if (const Moved::End end = settle(); end != Moved::End::kNone) return {.end = end};
    if (stage_ == Stage::kSocket) return PlainStream::send(head, body);
    if (stage_ != Stage::kMemory) return {};
    const Moved moved = move_or_hear([&] { return queue_->write(head, body); });
    if (moved.bytes > 0 && queue_->take_waiting_reader()) wake();
    return moved;
  }
  [[nodiscard]] short events(Way way) const override {
    if (stage_ == Stage::kAsking || stage_ == Stage::kMemory) return POLLIN;
    return PlainStream::events(way);
  }

 private:
  Moved::End settle() {
    if (stage_ == Stage::kOffering) {
      const Moved moved = PlainStream::send(std::as_bytes(std::span(&offer_, 1)).subspan(moved_), {});
      moved_ += moved.bytes;
      if (moved_ < sizeof offer_) return moved.end;
      stage_ = queue_ ? Stage::kAsking : Stage::kSocket;
    }
    if (stage_ == Stage::kAsking) {
      std::byte answer{};
      const Moved moved = PlainStream::receive(std::span(&answer, 1), {});
      if (moved.bytes == 0) return moved.end;
      queue_->close_door();
      stage_ = answer == kTaken ? Stage::kMemory : Stage::kSocket;
      if (stage_ == Stage::kSocket) queue_.reset();
    }
    return Moved::End::kNone;
  }
};

class Reader final : public SharedStream {
 public:
  explicit Reader(Fd connection) : SharedStream(std::move(connection)) {}

  Moved receive(std::span<std::byte> head, std::span<std::byte> body) override {
    if (const Moved::End end = settle(); end != Moved::End::kNone) return {.end = end};
    if (stage_ == Stage::kSocket) return PlainStream::receive(head, body);
    if (stage_ != Stage::kMemory) return {};
    const Moved moved = move_or_hear([&] { return queue_->read(head, body); });
    if (moved.bytes > 0 && queue_->take_waiting_writer()) wake();
    return moved;
  }

 private:
  Moved::End settle() {
    if (stage_ != Stage::kOffering) return Moved::End::kNone;
    const Moved moved =
        PlainStream::receive(std::as_writable_bytes(std::span(&offer_, 1)).subspan(moved_), {});
    moved_ += moved.bytes;
    if (moved_ < sizeof offer_) return moved.end;
    if (offer_.magic != kMagic) return Moved::End::kForged;
    stage_ = Stage::kSocket;
    if (offer_.there_is_one == 0) return Moved::End::kNone;
    // Nobody of another machine makes this one look at what its processes have open.
    if (may_be_one_machine(fd())) queue_ = SharedQueue::open(offer_.place);
    const std::byte answer = queue_ ? kTaken : kNotTaken;
    // The first byte on its way back: there is room for it.
    if (PlainStream::send(std::span(&answer, 1), {}).bytes != 1) return Moved::End::kClosed;
    if (queue_) stage_ = Stage::kMemory;
    return Moved::End::kNone;
  }
};

}  // namespace

std::unique_ptr<ByteStream> offer_memory(std::unique_ptr<ByteStream> connection, int& offers_left) {
  return std::make_unique<Writer>(connection->take_fd(), offers_left);
}

std::unique_ptr<ByteStream> take_memory(std::unique_ptr<ByteStream> connection) {
  return std::make_unique<Reader>(connection->take_fd());
}

}  // namespace muster::worker
