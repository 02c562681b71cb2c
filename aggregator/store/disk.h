#pragma once  // aggregator/store/disk.h: the journal's only way to a disk, so that tests can break it
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace muster::agg {

struct MappedBytes {  // to be read; its pages are the page cache's
  std::shared_ptr<const void> holder;
  std::span<const std::byte> bytes;  // good while `holder` lives, also when the file is removed
};

// Errors of all calls: kResourceExhausted: the disk is full, and may have room later. Others as files have
// them. One thread at a time.
class DiskFile {
 public:
  virtual ~DiskFile() = default;
  // The parts behind each other at the file's end. After an error any part of them may be there: cut().
  [[nodiscard]] virtual Status append(std::span<const std::span<const std::byte>> parts) = 0;
  [[nodiscard]] virtual Status cut(std::uint64_t bytes) = 0;  // to so many, which it has at least
  // What is in it survives a loss of power. An error is final, that of a full disk too: the kernel has
  // forgotten what it could not write, and a later sync would not miss it.
  [[nodiscard]] virtual Status sync() = 0;
  [[nodiscard]] virtual Result<MappedBytes> map() const = 0;  // as it is now
  [[nodiscard]] virtual std::uint64_t size() const = 0;
};

class Disk {  // one folder
 public:
  virtual ~Disk() = default;
  [[nodiscard]] virtual Result<std::vector<std::string>> names() = 0;  // of its files, in no order
  [[nodiscard]] virtual Result<std::unique_ptr<DiskFile>> create(const std::string& name) = 0;  // empty
  [[nodiscard]] virtual Result<std::unique_ptr<DiskFile>> open(const std::string& name) = 0;
  // Durable when it returns: the file is there by its new name, whole. kResourceExhausted: both are as they
  // were. Another error: which name it has is unknown.
  [[nodiscard]] virtual Status rename(const std::string& from, const std::string& to) = 0;
  [[nodiscard]] virtual Status remove(const std::string& name) = 0;  // durable some time later
  [[nodiscard]] virtual Result<std::uint64_t> room() = 0;            // bytes that are free
};

}  // namespace muster::agg
