// local/run_folder.cc: making, locking and cleaning run folders
#include "local/run_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

#include "common/platform/log.h"
#include "local/runtime/mounts.h"

namespace muster::local {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLock = "lock";
constexpr std::chrono::seconds kYoung{60};  // a folder without a lock may be one that is just being made

std::string prefix() { return fmt::format("muster-run-{}-", ::getuid()); }

// Holding it is the sign of life; the kernel lets go of it when the process ends, however it ends. Nothing:
// it is held.
FileDescriptor try_lock(const fs::path& file, int flags) {
  FileDescriptor fd(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600));
  if (fd.valid() && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
  return fd;
}

// Containers carry MUSTER_RUN_FOLDER in their environment; muster-init has ended them already unless it was
// killed too.
void kill_leftovers(const fs::path& folder) {
  const std::string mark = "MUSTER_RUN_FOLDER=" + folder.string();
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string pid = entry.path().filename();
    if (std::isdigit(static_cast<unsigned char>(pid.front())) == 0) continue;
    std::ifstream in(entry.path() / "environ", std::ios::binary);
    for (std::string variable; std::getline(in, variable, '\0');) {
      if (variable != mark) continue;
      spdlog::warn("ended a process that an earlier run left behind pid={}", pid);
      ::kill(static_cast<pid_t>(std::strtol(pid.c_str(), nullptr, 10)), SIGKILL);
      break;
    }
  }
}

bool is_ours(const fs::path& folder) {
  struct stat info {};
  return ::lstat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::getuid();
}

void remove_stale(const fs::path& parent) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    if (!entry.path().filename().string().starts_with(prefix()) || !is_ours(entry.path())) continue;
    const bool locked_once = fs::exists(entry.path() / kLock, error);
    if (!locked_once && fs::file_time_type::clock::now() - fs::last_write_time(entry.path(), error) < kYoung)
      continue;
    const FileDescriptor lock = locked_once ? try_lock(entry.path() / kLock, 0) : FileDescriptor();
    if (locked_once && !lock.valid()) continue;
    kill_leftovers(entry.path());
    fs::remove_all(entry.path(), error);
  }
}

fs::path default_parent() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/' && stands_anywhere(runtime) &&
      ::access(runtime, W_OK | X_OK) == 0)
    return runtime;
  std::error_code error;
  const fs::path temporary = fs::temp_directory_path(error);
  return error || !stands_anywhere(temporary) ? fs::path("/tmp") : temporary;
}

}  // namespace

Result<std::unique_ptr<RunFolder>> RunFolder::create(fs::path parent) {
  if (parent.empty()) parent = default_parent();
  std::error_code error;
  parent = fs::absolute(parent, error);
  // Its path stands in the words of containers, in KUBECONFIG and in what a shell reads.
  if (!stands_anywhere(parent)) {
    return invalid_argument(
        fmt::format("cannot run in {}: programs would take its name apart; choose a folder "
                    "whose path holds only letters, digits and /._-+@",
                    parent.string()));
  }
  fs::create_directories(parent, error);
  remove_stale(parent);
  std::string pattern = (parent / (prefix() + "XXXXXX")).string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    return failed_precondition(
        fmt::format("cannot make a folder in {}: {}; make it writable or set XDG_RUNTIME_DIR",
                    parent.string(), std::strerror(errno)));
  }
  FileDescriptor lock = try_lock(fs::path(pattern) / kLock, O_CREAT | O_EXCL);
  if (!lock.valid()) {
    const std::string reason = std::strerror(errno);
    fs::remove_all(pattern, error);
    return failed_precondition(fmt::format("cannot lock {}: {}; use a local file system", pattern, reason));
  }
  return std::unique_ptr<RunFolder>(new RunFolder(pattern, std::move(lock)));
}

RunFolder::~RunFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
  if (error) spdlog::warn("cannot remove the run folder folder={} error={}", path_.string(), error.message());
}

}  // namespace muster::local
