// cli/files.cc: small files, whole: read, written so that no half file is ever seen, copied
#include "cli/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>

#include "common/platform/file_descriptor.h"

namespace muster::cli {
namespace {

Error system_error(const std::string& what, int number) {
  const Code code = number == ENOENT   ? Code::kNotFound
                    : number == EACCES ? Code::kPermissionDenied
                    : number == ENOSPC ? Code::kResourceExhausted
                                       : Code::kUnavailable;
  const char* remedy = number == ENOENT   ? "; check the path"
                       : number == EACCES ? "; check the permissions"
                       : number == ENOSPC ? "; free some space or choose another --output-dir"
                                          : "";
  return {code, fmt::format("{}: {}{}", what, std::strerror(number), remedy)};
}

// Gives every piece of the file to `take`.
Status read_pieces(int fd, const std::string& path, const std::function<Status(std::string_view)>& take) {
  std::array<char, 65536> buffer{};
  for (;;) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EISDIR)
      return invalid_argument(fmt::format("{}: is a folder; give a file", path));
    if (count < 0) return system_error(fmt::format("cannot read {}", path), errno);
    if (count == 0) return {};
    MUSTER_TRY(take({buffer.data(), static_cast<std::size_t>(count)}));
  }
}

Status write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t count = ::write(fd, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error(fmt::format("cannot write {}", path), errno);
    content.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

using Writer = std::function<Status(int fd, const std::string& name)>;

Status write_into(const std::filesystem::path& path, const char* name, int flags, const Writer& write) {
  const FileDescriptor file(::open(name, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644));
  if (file.get() < 0) return system_error(fmt::format("cannot write {}", path.string()), errno);
  return write(file.get(), path.string());
}

Status replace_file(const std::filesystem::path& path, const Writer& write) {
  std::error_code error;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  if (error) return system_error(fmt::format("cannot create {}", path.parent_path().string()), error.value());
  const std::string temporary = fmt::format("{}.{}.tmp", path.string(), ::getpid());
  ::unlink(temporary.c_str());  // of a process that was killed; in a folder of all, whoever put a link there
  Status done = write_into(path, temporary.c_str(), O_EXCL | O_NOFOLLOW, write);
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0) {
    done = system_error(fmt::format("cannot write {}", path.string()), errno);
  }
  if (!done) ::unlink(temporary.c_str());
  return done;
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const FileDescriptor file(path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                        : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return system_error(fmt::format("cannot read {}", path), errno);
  std::string out;
  MUSTER_TRY(read_pieces(file.get(), path, [&](std::string_view piece) -> Status {
    out += piece;
    if (out.size() <= bytes_max) return {};
    return invalid_argument(
        fmt::format("{}: larger than {} bytes; is this the right file?", path, bytes_max));
  }));
  return out;
}

Status write_file(const std::filesystem::path& path, std::string_view content) {
  return replace_file(path, [&](int fd, const std::string& name) { return write_all(fd, content, name); });
}

Status write_output(const std::filesystem::path& path, std::string_view content) {
  std::error_code error;
  const auto there = std::filesystem::symlink_status(path, error);
  const bool ordinary = !std::filesystem::exists(there) || std::filesystem::is_regular_file(there) ||
                        std::filesystem::is_directory(there);
  if (ordinary) return write_file(path, content);
  return write_into(path, path.c_str(), O_TRUNC,
                    [&](int fd, const std::string& name) { return write_all(fd, content, name); });
}

Status copy_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  const FileDescriptor source(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (source.get() < 0) return system_error(fmt::format("cannot read {}", from.string()), errno);
  return replace_file(to, [&](int fd, const std::string& name) {
    return read_pieces(source.get(), from.string(),
                       [&](std::string_view piece) { return write_all(fd, piece, name); });
  });
}

}  // namespace muster::cli
