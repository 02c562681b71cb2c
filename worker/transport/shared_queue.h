#pragma once  // worker/transport/shared_queue.h: a queue of bytes in memory that two processes of one
              // machine map
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "common/platform/sealed_memory.h"

namespace muster::worker {

// From one writer to one reader, made by the writer.
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
  void close_door() { memory_.close_descriptor(); }

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

  SharedQueue(const Place& place, SealedMemory memory) : place_(place), memory_(std::move(memory)) {}
  [[nodiscard]] std::optional<std::size_t> used() const;
  [[nodiscard]] Shared& shared() const { return *reinterpret_cast<Shared*>(memory_.bytes().data()); }
  [[nodiscard]] std::byte* bytes() const;
  void wait(Flag Shared::*flag) const;
  [[nodiscard]] bool take(Flag Shared::*flag) const;

  // Moves what fits or is there, at most `limit` bytes, behind those that `end` has counted.
  template <typename Byte>
  std::size_t move(std::atomic<std::uint64_t>& end, std::size_t limit, std::span<Byte> head,
                   std::span<Byte> body);

  Place place_;
  SealedMemory memory_;  // its descriptor: of the writer, until the reader has it
};

}  // namespace muster::worker
