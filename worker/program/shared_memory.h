#pragma once  // worker/program/shared_memory.h: parameters and gradient where worker and program both see
              // them
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "common/platform/file_descriptor.h"

namespace muster::program {

// A memfd that nobody can make shorter, so that neither end can take pages from under the other.
class SharedMemory {
 public:
  // `bytes` of zeros. kResourceExhausted: there is no room.
  [[nodiscard]] static Result<SharedMemory> make(std::size_t bytes);
  // What the other end made. kInvalidArgument: it is shorter, or might become so.
  [[nodiscard]] static Result<SharedMemory> map(FileDescriptor descriptor, std::size_t bytes);

  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();
  [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] std::span<float> floats(std::size_t first, std::size_t count) const {
    return {reinterpret_cast<float*>(data_) + first, count};
  }
  [[nodiscard]] int descriptor() const { return descriptor_.get(); }

 private:
  [[nodiscard]] static Result<SharedMemory> mapped(FileDescriptor descriptor, std::size_t bytes);
  FileDescriptor descriptor_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Where what lies: the parameters [P] at the begin, the gradient [P] and `riders` floats behind it from a
// cache line on.
struct MemoryPlan {
  std::size_t parameters = 0;
  std::size_t gradient = 0;  // offset in floats
  std::size_t bytes = 0;
};
[[nodiscard]] MemoryPlan plan_memory(std::size_t parameters, std::size_t riders);

}  // namespace muster::program
