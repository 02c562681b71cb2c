// common/platform/sealed_memory.cc: memfd_create, seals, mmap
#include "common/platform/sealed_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace muster {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Error no_room(const char* what, std::string_view purpose, std::size_t bytes, int error) {
  return resource_exhausted(std::string(what) + " of " + std::to_string(bytes) + " bytes for " +
                            std::string(purpose) + ": " + std::strerror(error) +
                            "; give the pod more memory");
}

}  // namespace

Result<SealedMemory> SealedMemory::make(std::string_view purpose, std::size_t bytes, Pages pages) {
  FileDescriptor descriptor(::memfd_create("muster", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const auto size = static_cast<off_t>(bytes);
  if (!descriptor.valid() || ::ftruncate(descriptor.get(), size) != 0)
    return no_room("no shared memory", purpose, bytes, errno);
  if (pages == Pages::kNow) {
    if (const int error = ::posix_fallocate(descriptor.get(), 0, size); error != 0)
      return no_room("no shared memory", purpose, bytes, error);
  }
  if (::fcntl(descriptor.get(), F_ADD_SEALS, kSeals) != 0)
    return no_room("no shared memory", purpose, bytes, errno);
  return mapped(purpose, std::move(descriptor), bytes);
}

Result<SealedMemory> SealedMemory::map(FileDescriptor descriptor, std::size_t bytes) {
  struct stat found {};
  const int seals = descriptor.valid() ? ::fcntl(descriptor.get(), F_GET_SEALS) : -1;
  if (seals < 0 || (seals & kSeals) != kSeals || ::fstat(descriptor.get(), &found) != 0 ||
      std::cmp_not_equal(found.st_size, bytes))
    return invalid_argument("what the worker shares is no sealed memory of " + std::to_string(bytes) +
                            " bytes");
  return mapped("what the worker shares", std::move(descriptor), bytes);
}

Result<SealedMemory> SealedMemory::mapped(std::string_view purpose, FileDescriptor descriptor,
                                          std::size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.get(), 0);
  if (data == MAP_FAILED) return no_room("no mapping", purpose, bytes, errno);
  SealedMemory memory;
  memory.descriptor_ = std::move(descriptor);
  memory.data_ = static_cast<std::byte*>(data);
  memory.size_ = bytes;
  return memory;
}

SealedMemory::SealedMemory(SealedMemory&& other) noexcept { *this = std::move(other); }

SealedMemory& SealedMemory::operator=(SealedMemory&& other) noexcept {
  if (this == &other) return *this;
  if (data_ != nullptr) ::munmap(data_, size_);
  descriptor_ = std::move(other.descriptor_);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

SealedMemory::~SealedMemory() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace muster
