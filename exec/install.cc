// exec/install.cc: /proc/self/exe into a folder
#include "exec/install.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "common/platform/file_descriptor.h"
#include "pod/pod_contract.h"

namespace muster::exec {

Status install(const std::string& folder) {
  const std::string path = folder + "/" + kExecProgram;
  const std::string part = path + ".part";
  const auto failed = [&path] {
    return unavailable("cannot write " + path + ": " + std::strerror(errno) +
                       "; the volume needs 8 MiB that this user may write");
  };
  const FileDescriptor from(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const FileDescriptor to(open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755));
  struct stat about {};
  if (!from.valid() || !to.valid() || fstat(from.get(), &about) != 0) return failed();
  for (off_t at = 0; at < about.st_size;)
    if (sendfile(to.get(), from.get(), &at, static_cast<std::size_t>(about.st_size - at)) <= 0)
      return failed();
  // Whatever the umask is: the container beside may have another user.
  if (fchmod(to.get(), 0755) != 0 || rename(part.c_str(), path.c_str()) != 0) return failed();
  return {};
}

}  // namespace muster::exec
