#pragma once  // local/runtime/container_log.h: what one run of a container wrote, with the time of every line
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/platform/file_descriptor.h"
#include "common/platform/mutex.h"

namespace muster::local {

// Lines go to `prefix`.0, .1, ...: each "<RFC 3339 with nanoseconds> F text" (P: more of the line follows). A
// full file begins the next; the newest two are kept. Thread-safe: one writer, any number of readers of the
// files.
class ContainerLog {
 public:
  ContainerLog(std::filesystem::path prefix, std::size_t file_bytes);
  ContainerLog(const ContainerLog&) = delete;
  ContainerLog& operator=(const ContainerLog&) = delete;

  void append(std::string_view bytes, WallTime now);
  void end(WallTime now);  // nothing comes after; followers see the end

  struct Position {
    std::uint64_t oldest = 0;  // files oldest..newest exist
    std::uint64_t newest = 0;
    std::uint64_t appends = 0;
    bool ended = false;
  };
  [[nodiscard]] Position position() const;
  // Waits until something was appended after `appends`, or the log ended, or `wait` has passed.
  [[nodiscard]] Position wait(std::uint64_t appends, std::chrono::milliseconds wait) const;
  [[nodiscard]] std::filesystem::path file(std::uint64_t index) const;
  // The last lines without their times, at most `max_bytes` and `max_lines`.
  [[nodiscard]] std::string tail(std::size_t max_bytes, std::size_t max_lines) const;

 private:
  void take_lines(std::string_view bytes, WallTime now, std::string& out) MUSTER_REQUIRES(mutex_);
  void write(const std::string& records) MUSTER_REQUIRES(mutex_);
  void open_next() MUSTER_REQUIRES(mutex_);

  const std::filesystem::path prefix_;
  const std::size_t file_bytes_;
  mutable Mutex mutex_;
  mutable Condition changed_;
  Position position_ MUSTER_GUARDED_BY(mutex_);
  FileDescriptor fd_ MUSTER_GUARDED_BY(mutex_);
  std::size_t written_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::string partial_ MUSTER_GUARDED_BY(mutex_);  // a line whose end has not come
};

}  // namespace muster::local
