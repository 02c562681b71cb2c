// learning/atomic_file.cc: temporary file under a lock, fsync, rename, fsync of the folder
#include "learning/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "common/platform/file_descriptor.h"

namespace muster::learning {
namespace {

constexpr int kNameAttempts = 8;
constexpr std::size_t kLargestWrite = std::size_t{1} << 30;  // Linux writes at most 2 GiB - 4 KiB a call

// 0, or the errno of the write that failed.
int write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), std::min(bytes.size(), kLargestWrite));
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return 0;
}

struct Temporary {
  std::filesystem::path path;
  FileDescriptor file;
  FileDescriptor lock;  // a duplicate: held until the file has its name, so that nobody takes it for stale
};

// 0, or the errno. The lock fails where the file system has none; then there is none.
int make_temporary(const std::filesystem::path& target, Temporary& made) {
  std::random_device random;
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    made.path = fmt::format("{}.{:08x}{:08x}{}", target.string(), random(), random(), kTemporarySuffix);
    made.file =
        FileDescriptor(::open(made.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!made.file.valid() && errno == EEXIST) continue;
    if (!made.file.valid()) return errno;
    made.lock = FileDescriptor(::fcntl(made.file.get(), F_DUPFD_CLOEXEC, 0));
    if (!made.lock.valid()) {
      const int error = errno;
      ::unlink(made.path.c_str());
      return error;
    }
    const bool taken = ::flock(made.lock.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    struct stat seen {};
    const bool removed = ::fstat(made.lock.get(), &seen) == 0 && seen.st_nlink == 0;
    if (!taken && !removed) return 0;  // else somebody has looked whether it is stale before it was locked
  }
  return EEXIST;
}

int write_and_rename(const std::filesystem::path& path, Temporary& temporary,
                     std::span<const std::span<const std::byte>> parts) {
  for (const auto part : parts)
    if (const int error = write_all(temporary.file.get(), part); error != 0) return error;
  if (::fsync(temporary.file.get()) != 0) return errno;
  if (::close(temporary.file.release()) != 0) return errno;  // some file systems report a full disk only here
  return ::rename(temporary.path.c_str(), path.c_str()) == 0 ? 0 : errno;
}

int sync_folder(const std::filesystem::path& folder) {
  const FileDescriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0) return errno;
  // EINVAL: a file system that has no fsync of folders (some FUSE ones).
  return ::fsync(descriptor.get()) == 0 || errno == EINVAL ? 0 : errno;
}

std::string free_bytes_text(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto space = std::filesystem::space(path.parent_path(), ignored);
  return ignored ? std::string() : fmt::format(", {} are free", space.available);
}

}  // namespace

void remove_stale_temporary(const std::filesystem::path& temporary) noexcept {
  const FileDescriptor file(::open(temporary.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file.valid() && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return;
  ::unlink(temporary.c_str());
}

Error file_error(std::string_view action, const std::filesystem::path& path, int errno_value,
                 std::size_t bytes_needed) {
  const std::string what = fmt::format("cannot {} {}: {}", action, path.string(), std::strerror(errno_value));
  switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return resource_exhausted(
          fmt::format("{}: {} bytes are needed{}; free some space or choose another volume", what,
                      bytes_needed, free_bytes_text(path)));
    case ENOENT: return not_found(what + "; create it or correct the path");
    case EACCES:
    case EPERM:
    case EROFS: return Error{Code::kPermissionDenied, what + "; make it accessible to this user"};
    case EISDIR:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG: return invalid_argument(what + "; correct the path");
    default: return internal_error(what);
  }
}

Status write_atomically(const std::filesystem::path& path,
                        std::span<const std::span<const std::byte>> parts) {
  std::size_t bytes = 0;
  for (const auto part : parts) bytes += part.size();
  Temporary temporary;
  int error = make_temporary(path, temporary);
  if (error != 0) return file_error("write", path, error, bytes);
  error = write_and_rename(path, temporary, parts);
  if (error != 0) {
    Error failure = file_error("write", path, error, bytes);  // first: it asks for the space still free
    ::unlink(temporary.path.c_str());
    return failure;
  }
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  error = sync_folder(folder);
  if (error != 0) return file_error("sync", folder, error, bytes);
  return {};
}

}  // namespace muster::learning
