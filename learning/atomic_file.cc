// learning/atomic_file.cc: temporary file, fsync, rename, fsync of the folder
#include "learning/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/platform/file_descriptor.h"

namespace muster::learning {
namespace {

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

int write_and_sync(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts) {
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (file.get() < 0) return errno;
  for (const auto part : parts)
    if (const int error = write_all(file.get(), part); error != 0) return error;
  if (::fsync(file.get()) != 0) return errno;
  return ::close(file.release()) == 0 ? 0 : errno;  // some file systems report a full disk only here
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
  const std::filesystem::path temporary = path.string() + std::string(kTemporarySuffix);
  int error = write_and_sync(temporary, parts);
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    Error failure = file_error("write", path, error, bytes);  // first: it asks for the space still free
    ::unlink(temporary.c_str());
    return failure;
  }
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  error = sync_folder(folder);
  if (error != 0) return file_error("sync", folder, error, bytes);
  return {};
}

}  // namespace muster::learning
