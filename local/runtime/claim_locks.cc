// local/runtime/claim_locks.cc: flock on the folders of claims
#include "local/runtime/claim_locks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <cstring>

namespace muster::local {

Status ClaimLocks::hold(const std::filesystem::path& folder) {
  if (held_.contains(folder.string())) return {};
  FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid())
    return failed_precondition(fmt::format("cannot open {}: {}", folder.string(), std::strerror(errno)));
  // A file system without locks is no reason to refuse the folder.
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return failed_precondition(
        fmt::format("{} is in use by another run of muster; wait for its end or choose another --output-dir",
                    folder.string()));
  }
  held_.emplace(folder.string(), std::move(fd));
  return {};
}

}  // namespace muster::local
