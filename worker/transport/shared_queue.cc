// worker/transport/shared_queue.cc: find, check, copy
#include "worker/transport/shared_queue.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace muster::worker {
namespace {

constexpr std::size_t kHeaderBytes = 4096;
constexpr std::size_t kAllBytes = kHeaderBytes + SharedQueue::kBytes;

// Copies from plain memory into the ring, from its byte `at` on; or out of it, into memory that is no
// constant.
template <typename Byte>
void copy(std::byte* ring, std::uint64_t at, std::span<Byte> plain) {
  const std::size_t begin = at % SharedQueue::kBytes;
  const std::size_t first = std::min(plain.size(), SharedQueue::kBytes - begin);
  if constexpr (std::is_const_v<Byte>) {
    std::memcpy(ring + begin, plain.data(), first);
    if (first < plain.size()) std::memcpy(ring, plain.data() + first, plain.size() - first);
  } else {
    std::memcpy(plain.data(), ring + begin, first);
    if (first < plain.size()) std::memcpy(plain.data() + first, ring, plain.size() - first);
  }
}

}  // namespace

std::byte* SharedQueue::bytes() const { return memory_.bytes().data() + kHeaderBytes; }

std::optional<SharedQueue> SharedQueue::make() {
  auto memory = SealedMemory::make("a queue", kAllBytes, SealedMemory::Pages::kNow);
  if (!memory) return std::nullopt;
  Place place{.process = static_cast<std::uint64_t>(getpid()),
              .descriptor = static_cast<std::uint64_t>(memory->descriptor())};
  if (getrandom(place.token.data(), place.token.size(), 0) != static_cast<ssize_t>(place.token.size()))
    return std::nullopt;
  auto* shared = new (memory->bytes().data()) Shared();
  shared->token = place.token;
  return SharedQueue(place, *std::move(memory));
}

std::optional<SharedQueue> SharedQueue::open(const Place& place) {
  const std::string path = fmt::format("/proc/{}/fd/{}", place.process, place.descriptor);
  struct stat status {};
  // Nothing but a regular file is opened: opening others may do something.
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_size != static_cast<off_t>(kAllBytes))
    return std::nullopt;
  auto memory =
      SealedMemory::map(FileDescriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK)), kAllBytes);
  if (!memory) return std::nullopt;
  memory->close_descriptor();
  SharedQueue queue(place, *std::move(memory));
  if (queue.shared().token != place.token) return std::nullopt;
  return queue;
}

std::optional<std::size_t> SharedQueue::used() const {
  const std::uint64_t used =
      shared().written.load(std::memory_order_acquire) - shared().taken.load(std::memory_order_acquire);
  return used > kBytes ? std::nullopt : std::optional<std::size_t>(used);
}

bool SharedQueue::can_write() const { return used().value_or(0) < kBytes; }
bool SharedQueue::can_read() const { return used().value_or(1) > 0; }

template <typename Byte>
std::size_t SharedQueue::move(std::atomic<std::uint64_t>& end, std::size_t limit, std::span<Byte> head,
                              std::span<Byte> body) {
  const std::uint64_t at = end.load(std::memory_order_relaxed);
  head = head.first(std::min(head.size(), limit));
  body = body.first(std::min(body.size(), limit - head.size()));
  copy(bytes(), at, head);
  copy(bytes(), at + head.size(), body);
  const std::size_t moved = head.size() + body.size();
  end.store(at + moved, std::memory_order_release);
  return moved;
}

std::optional<std::size_t> SharedQueue::write(std::span<const std::byte> head,
                                              std::span<const std::byte> body) {
  const auto full = used();
  return full ? std::optional(move(shared().written, kBytes - *full, head, body)) : std::nullopt;
}

std::optional<std::size_t> SharedQueue::read(std::span<std::byte> head, std::span<std::byte> body) {
  const auto there = used();
  return there ? std::optional(move(shared().taken, *there, head, body)) : std::nullopt;
}

// The flag is seen by whoever moves bytes after this, or what they moved is seen by the look that follows.
void SharedQueue::wait(Flag Shared::*flag) const {
  (shared().*flag).store(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

bool SharedQueue::take(Flag Shared::*flag) const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  Flag& waits = shared().*flag;
  return waits.load(std::memory_order_relaxed) != 0 && waits.exchange(0, std::memory_order_relaxed) != 0;
}

}  // namespace muster::worker
