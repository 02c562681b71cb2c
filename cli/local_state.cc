// cli/local_state.cc: which `muster local up` of this user runs: a locked file, so a dead one
#include "cli/local_state.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "common/json/access.h"
#include "common/json/read_json.h"

namespace muster::cli {
namespace {

constexpr int kAttempts = 20;  // each is lost only to another `muster local up` that ends right now

std::optional<LocalState> read_state(int fd) {
  std::array<char, 8192> buffer{};
  const ssize_t count = ::pread(fd, buffer.data(), buffer.size(), 0);
  if (count <= 0) return std::nullopt;
  const Json json = read_json({buffer.data(), static_cast<std::size_t>(count)});
  if (!json.is_object()) return std::nullopt;
  LocalState state;
  if (const auto pid = json.find("pid"); pid != json.end() && pid->is_number_integer())
    state.pid = pid->get<int>();
  state.url = text_at(json, "url");
  state.kubeconfig = text_at(json, "kubeconfig");
  return state;
}

Error cannot(const std::filesystem::path& path) {
  return unavailable(fmt::format("cannot use {}: {}; set XDG_RUNTIME_DIR to a folder of yours", path.string(),
                                 std::strerror(errno)));
}

Error taken(const std::optional<LocalState>& other) {
  std::string where = " (it is starting)";
  if (other && !other->url.empty()) {
    where = fmt::format(" at {} (process {}); use it with export KUBECONFIG={}, or end it with Ctrl-C",
                        other->url, other->pid, other->kubeconfig);
  }
  return already_exists(fmt::format("`muster local up` runs already{}", where));
}

bool same_file(int fd, const std::filesystem::path& path) {
  struct stat open_file {
  }, named{};
  return ::fstat(fd, &open_file) == 0 && ::stat(path.c_str(), &named) == 0 &&
         open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

}  // namespace

Result<std::filesystem::path> local_state_path() {
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime == '/') {
    return std::filesystem::path(runtime) / "muster" / "local.json";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
    return std::filesystem::path(home) / ".muster" / "local.json";
  }
  return failed_precondition("neither XDG_RUNTIME_DIR nor HOME is set; set one of them to a folder of yours");
}

std::optional<LocalState> find_local_up() {
  const auto path = local_state_path();
  if (!path) return std::nullopt;
  const int fd = ::open(path->c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::optional<LocalState> state;
  if (::flock(fd, LOCK_SH | LOCK_NB) != 0) state = read_state(fd);
  ::close(fd);
  return state && !state->kubeconfig.empty() ? state : std::nullopt;
}

Result<LocalClaim> LocalClaim::take() {
  MUSTER_ASSIGN(const std::filesystem::path path, local_state_path());
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::error_code ignored;
    std::filesystem::create_directories(path.parent_path(), ignored);
    ::chmod(path.parent_path().c_str(), 0700);
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == ENOENT) continue;  // another one has just removed the folder
    if (fd < 0) return cannot(path);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const auto other = read_state(fd);
      ::close(fd);
      return taken(other);
    }
    if (same_file(fd, path)) return LocalClaim(path, fd);
    ::close(fd);  // its owner removed it between our open and our lock
  }
  return unavailable(fmt::format("cannot use {}: it comes and goes; try again", path.string()));
}

Status LocalClaim::publish(const LocalState& state) {
  const std::string text =
      Json{{"pid", state.pid}, {"url", state.url}, {"kubeconfig", state.kubeconfig}}.dump() + "\n";
  if (::ftruncate(fd_, 0) != 0 ||
      ::pwrite(fd_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return unavailable(fmt::format("cannot write the state of `muster local up`: {}", std::strerror(errno)));
  }
  return {};
}

LocalClaim::~LocalClaim() {
  if (fd_ < 0) return;
  ::unlink(path_.c_str());  // still locked: nobody else can have taken it
  ::rmdir(path_.parent_path().c_str());
  ::close(fd_);
}

}  // namespace muster::cli
