// worker/transport/shared_memory.cc: memfd, map, copy
#include "worker/transport/shared_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
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
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// Copies between the ring, from its byte `at` on, and plain memory; `to_ring` says which way.
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

void SharedQueue::Unmap::operator()(void* memory) const { munmap(memory, kAllBytes); }

SharedQueue::SharedQueue(FileDescriptor fd, const Place& place, Mapping memory)
    : fd_(std::move(fd)), place_(place), memory_(std::move(memory)) {}

SharedQueue::Mapping SharedQueue::map(int fd) {
  void* memory = mmap(nullptr, kAllBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return Mapping(memory == MAP_FAILED ? nullptr : memory);
}

std::byte* SharedQueue::bytes() const { return static_cast<std::byte*>(memory_.get()) + kHeaderBytes; }

std::optional<SharedQueue> SharedQueue::make() {
  FileDescriptor fd(memfd_create("muster-data", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  Place place{.process = static_cast<std::uint64_t>(getpid()),
              .descriptor = static_cast<std::uint64_t>(fd.get())};
  if (!fd.valid() ||
      getrandom(place.token.data(), place.token.size(), 0) != static_cast<ssize_t>(place.token.size()))
    return std::nullopt;
  // All of it is there from the beginning: memory that runs out later would be a signal.
  if (posix_fallocate(fd.get(), 0, kAllBytes) != 0) return std::nullopt;
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return std::nullopt;
  Mapping memory = map(fd.get());
  if (memory == nullptr) return std::nullopt;
  auto* shared = new (memory.get()) Shared();
  shared->token = place.token;
  return SharedQueue(std::move(fd), place, std::move(memory));
}

std::optional<SharedQueue> SharedQueue::open(const Place& place) {
  const std::string path = fmt::format("/proc/{}/fd/{}", place.process, place.descriptor);
  struct stat status {};
  // Nothing but a regular file is opened: opening others may do something.
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_size != static_cast<off_t>(kAllBytes))
    return std::nullopt;
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return std::nullopt;
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals || fstat(fd.get(), &status) != 0 ||
      status.st_size != static_cast<off_t>(kAllBytes))
    return std::nullopt;
  Mapping memory = map(fd.get());
  if (memory == nullptr) return std::nullopt;
  SharedQueue queue({}, place, std::move(memory));
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

std::optional<std::size_t> SharedQueue::write(std::span<const std::byte> head,
                                              std::span<const std::byte> body) {
  const auto full = used();
  if (!full) return std::nullopt;
  const std::uint64_t at = shared().written.load(std::memory_order_relaxed);
  std::size_t room = kBytes - *full;
  head = head.first(std::min(head.size(), room));
  room -= head.size();
  body = body.first(std::min(body.size(), room));
  copy(bytes(), at, head);
  copy(bytes(), at + head.size(), body);
  const std::size_t moved = head.size() + body.size();
  shared().written.store(at + moved, std::memory_order_release);
  return moved;
}

std::optional<std::size_t> SharedQueue::read(std::span<std::byte> head, std::span<std::byte> body) {
  const auto there = used();
  if (!there) return std::nullopt;
  const std::uint64_t at = shared().taken.load(std::memory_order_relaxed);
  std::size_t left = *there;
  head = head.first(std::min(head.size(), left));
  left -= head.size();
  body = body.first(std::min(body.size(), left));
  copy(bytes(), at, head);
  copy(bytes(), at + head.size(), body);
  const std::size_t moved = head.size() + body.size();
  shared().taken.store(at + moved, std::memory_order_release);
  return moved;
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
