// worker/transport/shared_stream.cc: the offer, and then a queue with its wake-ups
#include "worker/transport/shared_stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "worker/transport/shared_memory.h"

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

bool is_loopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& ip4 = reinterpret_cast<const sockaddr_in&>(address);
    return (ntohl(ip4.sin_addr.s_addr) >> 24U) == 127;
  }
  const auto& ip6 = reinterpret_cast<const sockaddr_in6&>(address);
  const auto* bytes = ip6.sin6_addr.s6_addr;
  return IN6_IS_ADDR_LOOPBACK(&ip6.sin6_addr) || (IN6_IS_ADDR_V4MAPPED(&ip6.sin6_addr) && bytes[12] == 127);
}

bool same_ip(const sockaddr_storage& a, const sockaddr_storage& b) {
  if (a.ss_family != b.ss_family) return false;
  if (a.ss_family == AF_INET)
    return reinterpret_cast<const sockaddr_in&>(a).sin_addr.s_addr ==
           reinterpret_cast<const sockaddr_in&>(b).sin_addr.s_addr;
  return std::memcmp(&reinterpret_cast<const sockaddr_in6&>(a).sin6_addr,
                     &reinterpret_cast<const sockaddr_in6&>(b).sin6_addr, sizeof(in6_addr)) == 0;
}

// Only then an offer is worth the wait for its answer. Whether it holds, the acceptor finds out.
bool may_be_one_machine(int fd) {
  sockaddr_storage mine{};
  sockaddr_storage theirs{};
  socklen_t length = sizeof mine;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&mine), &length) != 0) return false;
  length = sizeof theirs;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&theirs), &length) != 0) return false;
  return (is_loopback(mine) && is_loopback(theirs)) || same_ip(mine, theirs);
}

enum class Stage : std::uint8_t {
  kOffering,  // the offer is on its way
  kAsking,    // and so is its answer
  kMemory,
  kSocket,
};

class SharedStream : public PlainStream {
 public:
  using PlainStream::PlainStream;
  [[nodiscard]] bool in_memory() const override { return stage_ == Stage::kMemory; }

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

  // `move` of the queue; once more after the bells, as bytes may have come with the last one.
  template <typename Move>
  [[nodiscard]] Moved move_or_hear(const Move& move) const {
    for (const bool again : {false, true}) {
      const std::optional<std::size_t> moved = move();
      if (!moved) return {.end = Moved::End::kForged};
      if (*moved > 0 || again) return {.bytes = *moved};
      if (const Moved::End end = hear(); end != Moved::End::kNone) {
        const std::optional<std::size_t> last = move();
        if (last.value_or(0) > 0) return {.bytes = *last};
        return {.end = end};
      }
    }
    return {};
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

  [[nodiscard]] bool can_move(Way /*way*/) const override {
    return stage_ == Stage::kMemory && queue_->can_write();
  }
  [[nodiscard]] bool can_move_before_wait(Way way) override {
    if (stage_ != Stage::kMemory) return false;
    if (!can_move(way)) queue_->writer_waits();
    return can_move(way);
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

  [[nodiscard]] bool can_move(Way /*way*/) const override {
    return stage_ == Stage::kMemory && queue_->can_read();
  }
  [[nodiscard]] bool can_move_before_wait(Way way) override {
    if (stage_ != Stage::kMemory) return false;
    if (!can_move(way)) queue_->reader_waits();
    return can_move(way);
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
