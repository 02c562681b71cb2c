#pragma once  // worker/transport/shared_memory.h: a queue of bytes in memory that two processes of one
              // machine map
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "common/platform/file_descriptor.h"

namespace muster::worker {

// From one writer to one reader. Made by the writer as a sealed memfd, which is gone with its last process;
// nothing of it is on a file system, and nobody can shrink it under the other's feet.
class SharedQueue {
 public:
  static constexpr std::size_t kBytes = 256 * 1024;  // of the queue: stays in a small L2 cache

  // How the reader finds it. What it says is checked before it is believed.
  struct Place {
    std::uint64_t process = 0;
    std::uint64_t descriptor = 0;
    std::array<std::byte, 16>
        token{};  // random; also at its beginning: another file there is not taken for it
  };

  // Empty: the kernel gives none (no memory, no memfd).
  [[nodiscard]] static std::optional<SharedQueue> make();
  // By the reader. Empty: it is not there, or not such a queue: the other process is of another machine,
  // container or user.
  [[nodiscard]] static std::optional<SharedQueue> open(const Place& place);
  [[nodiscard]] const Place& place() const { return place_; }
  // Both have it: the writer keeps the memory, but nobody finds it any more.
  void close_door() { fd_.reset(); }

  // What fits, or is there; `head` before `body`. nullopt: the other side has written nonsense into it.
  [[nodiscard]] std::optional<std::size_t> write(std::span<const std::byte> head,
                                                 std::span<const std::byte> body);
  [[nodiscard]] std::optional<std::size_t> read(std::span<std::byte> head, std::span<std::byte> body);
  [[nodiscard]] bool can_write() const;
  [[nodiscard]] bool can_read() const;

  // Sleep and wake-up. Whoever finds nothing to do says that it waits, and sleeps if it still finds nothing
  // then; whoever moves bytes wakes the other one if that waits.
  void writer_waits() { wait(&Shared::writer_waits); }
  void reader_waits() { wait(&Shared::reader_waits); }
  [[nodiscard]] bool take_waiting_writer() { return take(&Shared::writer_waits); }
  [[nodiscard]] bool take_waiting_reader() { return take(&Shared::reader_waits); }

 private:
  using Flag = std::atomic<std::uint32_t>;
  struct Shared {
    std::array<std::byte, 16> token;
    alignas(64) std::atomic<std::uint64_t> written;  // bytes, since the beginning
    alignas(64) std::atomic<std::uint64_t> taken;
    alignas(64) Flag reader_waits;
    alignas(64) Flag writer_waits;
  };
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free && Flag::is_always_lock_free);

  struct Unmap {
    void operator()(void* memory) const;
  };
  using Mapping = std::unique_ptr<void, Unmap>;

  SharedQueue(FileDescriptor fd, const Place& place, Mapping memory);
  [[nodiscard]] static Mapping map(int fd);  // empty: it cannot be
  [[nodiscard]] std::optional<std::size_t> used() const;
  [[nodiscard]] Shared& shared() const { return *static_cast<Shared*>(memory_.get()); }
  [[nodiscard]] std::byte* bytes() const;
  void wait(Flag Shared::*flag) const;
  [[nodiscard]] bool take(Flag Shared::*flag) const;

  FileDescriptor fd_;  // of the writer, until the reader has it
  Place place_;
  Mapping memory_;
};

}  // namespace muster::worker
