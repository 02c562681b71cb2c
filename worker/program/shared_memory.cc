// worker/program/shared_memory.cc: memfd_create, seals, mmap
#include "worker/program/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace muster::program {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Error no_room(const char* what, std::size_t bytes) {
  return resource_exhausted(std::string(what) + " of " + std::to_string(bytes) +
                            " bytes for parameters and gradient: " + std::strerror(errno) +
                            "; give the pod more memory");
}

}  // namespace

Result<SharedMemory> SharedMemory::make(std::size_t bytes) {
  FileDescriptor descriptor(::memfd_create("muster-parameters", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!descriptor.valid() || ::ftruncate(descriptor.get(), static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(descriptor.get(), F_ADD_SEALS, kSeals) != 0)
    return no_room("no shared memory", bytes);
  return mapped(std::move(descriptor), bytes);
}

Result<SharedMemory> SharedMemory::map(FileDescriptor descriptor, std::size_t bytes) {
  struct stat found {};
  const int seals = descriptor.valid() ? ::fcntl(descriptor.get(), F_GET_SEALS) : -1;
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || ::fstat(descriptor.get(), &found) != 0 ||
      std::cmp_less(found.st_size, bytes))
    return invalid_argument("what the worker shares is no sealed memory of " + std::to_string(bytes) +
                            " bytes");
  return mapped(std::move(descriptor), bytes);
}

Result<SharedMemory> SharedMemory::mapped(FileDescriptor descriptor, std::size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.get(), 0);
  if (data == MAP_FAILED) return no_room("no mapping", bytes);
  SharedMemory memory;
  memory.descriptor_ = std::move(descriptor);
  memory.data_ = static_cast<std::byte*>(data);
  memory.size_ = bytes;
  return memory;
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept { *this = std::move(other); }

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  if (this == &other) return *this;
  if (data_ != nullptr) ::munmap(data_, size_);
  descriptor_ = std::move(other.descriptor_);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

MemoryPlan plan_memory(std::size_t parameters, std::size_t riders) {
  constexpr std::size_t kLine = 64 / sizeof(float);
  const std::size_t gradient = (parameters + kLine - 1) / kLine * kLine;
  return {.parameters = parameters,
          .gradient = gradient,
          .bytes = (gradient + parameters + riders) * sizeof(float)};
}

}  // namespace muster::program
