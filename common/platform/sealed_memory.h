#pragma once  // common/platform/sealed_memory.h: memory that two processes map
#include <cstddef>
#include <span>
#include <string_view>

#include "common/base/result.h"
#include "common/platform/file_descriptor.h"

namespace muster {

// A memfd whose length nobody can change, so that neither end takes pages from under the other. It is on no
// file system, and gone with its last process.
class SealedMemory {
 public:
  enum class Pages {
    kWhenTouched,
    kNow,  // those that cannot be had are an error here, not a signal later
  };
  // `bytes` of zeros; `purpose` is for the error. kResourceExhausted: there is no room.
  [[nodiscard]] static Result<SealedMemory> make(std::string_view purpose, std::size_t bytes,
                                                 Pages pages = Pages::kWhenTouched);
  // What another process made. kInvalidArgument: it has another length, or might get one; kResourceExhausted.
  [[nodiscard]] static Result<SealedMemory> map(FileDescriptor descriptor, std::size_t bytes);

  SealedMemory() = default;
  SealedMemory(SealedMemory&& other) noexcept;
  SealedMemory& operator=(SealedMemory&& other) noexcept;
  ~SealedMemory();
  [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] std::span<float> floats(std::size_t first, std::size_t count) const {
    return {reinterpret_cast<float*>(data_) + first, count};
  }
  [[nodiscard]] int descriptor() const { return descriptor_.get(); }
  void close_descriptor() { descriptor_.reset(); }  // the memory stays

 private:
  [[nodiscard]] static Result<SealedMemory> mapped(std::string_view purpose, FileDescriptor descriptor,
                                                   std::size_t bytes);
  FileDescriptor descriptor_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace muster
