// local/bench/server_process.cc: spawn, read the greeting, read /proc
#include "local/bench/server_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

extern char** environ;  // NOLINT: POSIX's name

namespace muster::bench {
namespace {

std::string read_until(int fd, const std::string& mark) {
  std::string text;
  char bytes[4096];
  while (text.find(mark) == std::string::npos || text.find('\n', text.find(mark)) == std::string::npos) {
    const ssize_t got = ::read(fd, bytes, sizeof bytes);
    if (got <= 0) return "";
    text.append(bytes, static_cast<std::size_t>(got));
  }
  const auto start = text.find(mark) + mark.size();
  return text.substr(start, text.find('\n', start) - start);
}

}  // namespace

void die(const std::string& what) {
  fmt::print(stderr, "local_bench: {}\n", what);
  std::exit(1);
}

ServerProcess::ServerProcess(const std::string& muster) {
  std::string folder = (std::filesystem::temp_directory_path() / "muster-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) die("cannot make a temporary folder");
  folder_ = folder;
  setenv("XDG_RUNTIME_DIR", folder.c_str(), 1);  // one of its own: a `muster local up` may run already
  std::array<int, 2> out{};
  if (pipe2(out.data(), O_CLOEXEC) != 0) die("cannot make a pipe");
  std::vector<std::string> words{muster, "local", "up", "--output-dir", folder + "/out"};
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions{};
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, (folder + "/stderr").c_str(), O_WRONLY | O_CREAT,
                                   0600);
  const auto begin = std::chrono::steady_clock::now();
  if (posix_spawn(&pid_, muster.c_str(), &actions, nullptr, arguments.data(), environ) != 0)
    die(fmt::format("cannot run {}; build it first", muster));
  posix_spawn_file_actions_destroy(&actions);
  ::close(out[1]);
  kubeconfig_ = read_until(out[0], "export KUBECONFIG=");
  start_time_ = std::chrono::steady_clock::now() - begin;
  if (kubeconfig_.empty()) {
    std::ostringstream why;
    why << std::ifstream(folder + "/stderr").rdbuf();
    die(fmt::format("{} local up did not start: {}", muster, why.str()));
  }
  // Whatever it prints later fits the pipe; it is closed with this process.
}

ServerProcess::~ServerProcess() {
  kill(pid_, SIGINT);
  waitpid(pid_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

double ServerProcess::cpu_seconds() const {
  std::ifstream stat(fmt::format("/proc/{}/stat", pid_));
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string word;
  for (int i = 3; i < 14; ++i) fields >> word;  // to field 13; 14 and 15 are user and system ticks
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double ServerProcess::status_bytes(const std::string& field) const {
  std::ifstream status(fmt::format("/proc/{}/status", pid_));
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field + ":")) return std::stod(line.substr(field.size() + 1)) * 1024;
  return 0;
}

double ServerProcess::rss_bytes() const { return status_bytes("VmRSS"); }
double ServerProcess::anonymous_bytes() const { return status_bytes("RssAnon"); }

}  // namespace muster::bench
