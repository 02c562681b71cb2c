// local/runtime/claim_locks.cc: flock on the folders of claims
#include "local/runtime/claim_locks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace muster::local {

ClaimLocks::~ClaimLocks() {
  for (const auto& [folder, fd] : held_) ::close(fd);
}

Status ClaimLocks::hold(const std::filesystem::path& folder) {
  if (held_.contains(folder.string())) return {};
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return failed_precondition(fmt::format("cannot open {}: {}", folder.string(), std::strerror(errno)));
  // A file system without locks is no reason to refuse the folder.
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(fd);
    return failed_precondition(
        fmt::format("{} is in use by another run of muster; wait for its end or choose another --output-dir",
                    folder.string()));
  }
  held_.emplace(folder.string(), fd);
  return {};
}

}  // namespace muster::local
