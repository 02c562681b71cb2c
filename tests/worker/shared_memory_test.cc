// tests/worker/shared_memory_test.cc: the queue between two processes, and what may not pass for one
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "common/base/random.h"
#include "worker/transport/shared_queue.h"
#include "worker/transport/shared_stream.h"

namespace muster::worker {
namespace {

constexpr std::size_t kQueue = SharedQueue::kBytes;

std::vector<std::byte> some_bytes(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
  return bytes;
}

TEST(SharedQueue, GivesBytesInOrderWhateverTheSizesOfTheCallsAreAndRoundTheEnd) {
  auto writer = SharedQueue::make();
  ASSERT_TRUE(writer);
  auto reader = SharedQueue::open(writer->place());
  ASSERT_TRUE(reader);
  writer->close_door();
  EXPECT_FALSE(SharedQueue::open(writer->place())) << "nobody finds it any more";
  const std::vector<std::byte> sent = some_bytes(5 * kQueue + 777, 1);
  std::vector<std::byte> got(sent.size());
  Random random(2);
  std::size_t written = 0;
  std::size_t read = 0;
  while (read < sent.size()) {
    const auto parts = [&](auto all, std::size_t at) {
      const auto rest = all.subspan(at);
      const std::size_t head = random.below(std::min<std::size_t>(rest.size(), 100) + 1);
      const std::size_t body = random.below(std::min<std::size_t>(rest.size() - head, 2 * kQueue) + 1);
      return std::pair(rest.first(head), rest.subspan(head, body));
    };
    const auto [head, body] = parts(std::span(std::as_const(sent)), written);
    written += writer->write(head, body).value();
    EXPECT_LE(written - read, kQueue);
    EXPECT_EQ(writer->can_write(), written - read < kQueue);
    const auto [to_head, to_body] = parts(std::span(got), read);
    read += reader->read(to_head, to_body).value();
    EXPECT_EQ(reader->can_read(), written > read);
  }
  EXPECT_EQ(got, sent);
}

// What a member of the mesh says about where its queue is may be wrong, or another machine's.
TEST(SharedQueue, IsNothingElseThatIsFoundThere) {
  const auto queue = SharedQueue::make();
  ASSERT_TRUE(queue);
  const auto at = [](int fd) {
    return SharedQueue::Place{.process = static_cast<std::uint64_t>(getpid()),
                              .descriptor = static_cast<std::uint64_t>(fd)};
  };
  SharedQueue::Place other_token = queue->place();
  other_token.token[3] ^= std::byte{1};
  EXPECT_FALSE(SharedQueue::open(other_token));
  SharedQueue::Place nobody = queue->place();
  nobody.process = std::numeric_limits<std::uint64_t>::max();
  EXPECT_FALSE(SharedQueue::open(nobody));
  // A file of the right size and beginning that its owner could cut off.
  FileDescriptor unsealed(memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(unsealed.get(), static_cast<off_t>(kQueue + 4096)), 0);
  EXPECT_FALSE(SharedQueue::open(at(unsealed.get())));
  ASSERT_EQ(fcntl(unsealed.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
  EXPECT_TRUE(SharedQueue::open(at(unsealed.get()))) << "it was the seals that it lacked";
  FileDescriptor small(memfd_create("small", MFD_CLOEXEC));
  EXPECT_FALSE(SharedQueue::open(at(small.get())));
  int pair[2];
  ASSERT_EQ(pipe2(pair, O_CLOEXEC), 0);
  const FileDescriptor out(pair[0]);
  const FileDescriptor in(pair[1]);
  EXPECT_FALSE(SharedQueue::open(at(out.get()))) << "and does not wait for a writer";
}

TEST(SharedQueue, CountersThatCannotBeAreNoBytes) {
  auto queue = SharedQueue::make();
  ASSERT_TRUE(queue);
  // As another process may write them: the first counter lies behind the token.
  const std::string path = fmt::format("/proc/self/fd/{}", queue->place().descriptor);
  const FileDescriptor fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  const std::uint64_t nonsense = kQueue + 1;
  ASSERT_EQ(pwrite(fd.get(), &nonsense, sizeof nonsense, 64), static_cast<ssize_t>(sizeof nonsense));
  std::vector<std::byte> bytes(10);
  EXPECT_FALSE(queue->read(bytes, {}));
  EXPECT_FALSE(queue->write(bytes, {}));
  EXPECT_TRUE(queue->can_read()) << "so that the reader looks, and finds out";
}

struct Ends {
  std::unique_ptr<ByteStream> to, from;
};

// Over a connection on one machine.
Ends connected() {
  const auto address = make_address("127.0.0.1", 0);
  const auto listener = listen_on(*address, 1);
  auto there = make_address("127.0.0.1", port_of(listener->get()));
  Fd dialer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(dialer.get(), there->any(), there->length), 0);
  pollfd ready{.fd = listener->get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&ready, 1, 30'000), 1);
  Fd acceptor(accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  int offers = 1;
  return {.to = offer_memory(std::make_unique<PlainStream>(std::move(dialer)), offers),
          .from = take_memory(std::make_unique<PlainStream>(std::move(acceptor)))};
}

void await(ByteStream& stream, ByteStream::Way way) {
  if (stream.can_move_before_wait(way)) return;
  pollfd ready{.fd = stream.fd(), .events = stream.events(way), .revents = 0};
  EXPECT_EQ(poll(&ready, 1, 30'000), 1) << "nobody rings";
}

// Both ends sleep whenever they can do nothing: every byte must be followed by a wake-up that is not missed.
TEST(SharedStream, WakesWhoeverSleeps) {
  const Ends ends = connected();
  const std::vector<std::byte> sent = some_bytes(20 * kQueue, 3);
  std::jthread sender([&] {
    Random random(4);
    std::size_t done = 0;
    while (done < sent.size()) {
      const std::size_t size = 1 + random.below(std::min<std::size_t>(sent.size() - done, kQueue / 3));
      const Moved moved = ends.to->send(std::span(sent).subspan(done, size), {});
      ASSERT_EQ(moved.end, Moved::End::kNone);
      done += moved.bytes;
      if (moved.bytes < size) await(*ends.to, ByteStream::Way::kSend);
    }
    ends.to->end_sending();
  });
  std::vector<std::byte> got(sent.size());
  Random random(5);
  std::size_t done = 0;
  while (done < got.size()) {
    const std::size_t size = 1 + random.below(std::min<std::size_t>(got.size() - done, kQueue / 2));
    const Moved moved = ends.from->receive(std::span(got).subspan(done, size), {});
    ASSERT_EQ(moved.end, Moved::End::kNone) << done;
    done += moved.bytes;
    if (moved.bytes == 0) await(*ends.from, ByteStream::Way::kReceive);
  }
  EXPECT_EQ(got, sent);
  EXPECT_TRUE(ends.to->in_memory());
  EXPECT_TRUE(ends.from->in_memory());
  std::byte more{};
  Moved moved;
  while (moved.end == Moved::End::kNone) {
    await(*ends.from, ByteStream::Way::kReceive);
    moved = ends.from->receive(std::span(&more, 1), {});
    ASSERT_EQ(moved.bytes, 0U);
  }
  EXPECT_EQ(moved.end, Moved::End::kClosed) << "after the last byte";
}

TEST(SharedStream, ADialerThatOffersWhatIsNotThereGoesOverTheSocket) {
  Ends ends = connected();
  // Its first bytes, as of a rank of another machine whose addresses look like one of this: no process is
  // there.
  struct {
    std::uint32_t magic = 0x4d454d31U, there_is_one = 1;
    std::uint64_t process = 1ULL << 60U, descriptor = 3;
    std::array<std::byte, 16> token{};
  } const offer;
  const int dialer = ends.to->fd();
  ASSERT_EQ(::send(dialer, &offer, sizeof offer, 0), static_cast<ssize_t>(sizeof offer));
  std::array<std::byte, 3> got{};
  Moved moved = ends.from->receive(got, {});
  while (moved.bytes == 0 && moved.end == Moved::End::kNone) {
    char answer = 0;
    if (recv(dialer, &answer, 1, MSG_DONTWAIT) == 1) {
      EXPECT_EQ(answer, 'N');
      ASSERT_EQ(::send(dialer, "abc", 3, 0), 3);
    }
    moved = ends.from->receive(got, {});
  }
  EXPECT_EQ(moved.bytes, 3U);
  EXPECT_EQ(got[2], std::byte{'c'});
  EXPECT_FALSE(ends.from->in_memory());
}

TEST(SharedStream, GarbageInPlaceOfAnOfferIsRefused) {
  const Ends ends = connected();
  const std::vector<std::byte> garbage = some_bytes(40, 6);
  ASSERT_EQ(::send(ends.to->fd(), garbage.data(), garbage.size(), 0), 40);
  std::byte got{};
  Moved moved;
  while (moved.bytes == 0 && moved.end == Moved::End::kNone)
    moved = ends.from->receive(std::span(&got, 1), {});
  EXPECT_EQ(moved.end, Moved::End::kForged);
}

}  // namespace
}  // namespace muster::worker
