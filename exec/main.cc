// exec/main.cc: muster-exec, the first process of containers of jobs with runPolicy.restart InPlace
//
// It starts the container's command and, on a new membership, starts it again: the pod, its node, its image
// and its volumes stay. docs/adr/0026-a-restart-in-place.md says why so.
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string_view>

#include "common/platform/file_descriptor.h"
#include "exec/agent_port.h"
#include "exec/child.h"
#include "exec/install.h"
#include "exec/machine.h"
#include "pod/peer_name.h"
#include "pod/pod_contract.h"

namespace muster::exec {
namespace {

constexpr int kUsageError = 64;
constexpr int kNotExecuted = 127;       // as shells have it
constexpr std::size_t kWordsMax = 512;  // of the termination log, its end: an event's message takes 1 KiB
constexpr std::chrono::milliseconds kRemainsLook{5};  // at what was killed and is not gone yet
constexpr std::chrono::milliseconds kFarewell{
    600};  // for the last status to leave, as pod/agent_server.cc has it
// All that a container's first process may get and its command may know what to do with.
constexpr std::array kSignals{SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,  SIGUSR1, SIGUSR2,
                              SIGCONT, SIGALRM, SIGTSTP, SIGWINCH, SIGPWR};

void say(const std::string& words) { std::fprintf(stderr, "muster: %s\n", words.c_str()); }

std::string variable(const char* name, const char* otherwise = "") {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

// What the command has left for the kubelet, its end; what it left is gone then, so that the next one's words
// are its own.
std::string take_last_words() {
  const std::string path = variable(kTerminationLogVariable, "/dev/termination-log");
  const FileDescriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  struct stat about {};
  if (!file.valid() || fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode) || about.st_size == 0)
    return {};
  std::array<char, kWordsMax> words;
  const off_t from = std::max<off_t>(0, about.st_size - static_cast<off_t>(kWordsMax));
  const ssize_t got = pread(file.get(), words.data(), words.size(), from);
  if (got <= 0 || ftruncate(file.get(), 0) != 0) return {};
  // A character is not cut: what continues one at the beginning goes.
  std::string_view text(words.data(), static_cast<std::size_t>(got));
  while (!text.empty() && (static_cast<unsigned char>(text.front()) & 0xC0U) == 0x80U) text.remove_prefix(1);
  while (!text.empty() && std::string_view("\n\r ").find(text.back()) != std::string_view::npos)
    text.remove_suffix(1);
  return std::string(text);
}

class Supervisor {
 public:
  Supervisor(std::vector<std::string> command, std::string job_uid, std::string pod_uid)
      : child_(std::move(command)),
        machine_(std::move(job_uid), std::move(pod_uid), std::chrono::steady_clock::now()) {}

  Status open(const AgentPort::Options& options) {
    sigset_t taken;
    sigemptyset(&taken);
    sigaddset(&taken, SIGCHLD);
    for (const int number : kSignals) sigaddset(&taken, number);
    sigprocmask(SIG_BLOCK, &taken, nullptr);
    signals_ = FileDescriptor(signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK));
    std::signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    MUSTER_ASSIGN(port_, AgentPort::open(options, {.configure = [this](auto bytes) { return assign(bytes); },
                                                   .watch = [this](auto bytes) { return check(bytes); }}));
    return {};
  }

  int run() {
    while (!over_) {
      publish();
      std::vector<pollfd> waiting{{.fd = signals_.get(), .events = POLLIN, .revents = 0}};
      port_->wanted(waiting);
      poll(waiting.data(), waiting.size(), patience());
      take_signals();
      port_->served(waiting, std::chrono::steady_clock::now());
      const Instant now = std::chrono::steady_clock::now();
      if (port_->is_watched()) machine_.heard(now);
      act(machine_.tick(now));
    }
    say_farewell();
    return exit_code_;
  }

 private:
  [[nodiscard]] Status assign(std::string_view bytes) {
    MUSTER_ASSIGN(const Assignment assignment, read_assignment(bytes));
    MUSTER_ASSIGN(const std::vector<Effect> effects,
                  machine_.assign(assignment, std::chrono::steady_clock::now()));
    act(effects);
    return {};
  }
  [[nodiscard]] Status check(std::string_view bytes) {
    MUSTER_ASSIGN(const WatchRequest request, read_watch_request(bytes));
    return machine_.check(request);
  }

  void publish() {
    if (published_ == machine_.told()) return;
    published_ = machine_.told();
    port_->publish(write_status(*published_));
  }

  [[nodiscard]] int patience() const {
    std::optional<Instant> next = machine_.next_deadline();
    if (const auto due = port_->next_deadline()) next = std::min(next.value_or(*due), *due);
    const Instant now = std::chrono::steady_clock::now();
    if (child_.has_remains()) next = std::min(next.value_or(now + kRemainsLook), now + kRemainsLook);
    if (!next) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - now).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
  }

  void take_signals() {
    signalfd_siginfo info;
    while (read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info))
      if (info.ssi_signo != SIGCHLD) {
        leaving_ = leaving_ || info.ssi_signo == SIGTERM;
        act(machine_.signalled(static_cast<int>(info.ssi_signo), std::chrono::steady_clock::now()));
      }
    const Instant now = std::chrono::steady_clock::now();
    const bool gently = machine_.may_end() && (!left_since_ || now < *left_since_ + kGrace);
    const auto code = child_.reap(gently);
    if (!child_.has_remains())
      left_since_.reset();
    else if (!left_since_)
      left_since_ = now;
    if (code) act(ended(*code));
  }

  [[nodiscard]] std::vector<Effect> ended(int code) {
    const bool asked = machine_.told().phase != Phase::kRunning;
    // The kubelet reads them where the container ends with the command.
    std::string words = code == 0 || leaving_ ? "" : take_last_words();
    if (code != 0 && !leaving_)
      say("the command has ended with code " + std::to_string(code) + (asked ? ", as it was asked to" : "") +
          " (membership " + std::to_string(machine_.told().membership) + ")");
    return machine_.ended(code, std::move(words), std::chrono::steady_clock::now());
  }

  void act(const std::vector<Effect>& effects) {
    for (const Effect& effect : effects) std::visit([this](const auto& what) { (*this)(what); }, effect);
  }
  void operator()(const Start& what) {
    if (machine_.told().starts > 1 || what.membership > 1)
      say("the command starts in membership " + std::to_string(what.membership));
    const Status done = child_.start(what.environment);
    if (done) return;
    say(done.error().message);
    act(machine_.not_started(kNotExecuted, done.error().message, std::chrono::steady_clock::now()));
  }
  void operator()(const Pass& what) { child_.signal(what.number); }
  void operator()(const KillAll& /*what*/) { child_.kill_all(); }
  void operator()(const End& what) {
    if (!what.words.empty()) say(what.words);
    exit_code_ = what.exit_code;
    over_ = true;
  }

  void say_farewell() {
    publish();
    const Instant until = deadline_after(kFarewell);
    for (Instant now = std::chrono::steady_clock::now(); now < until && !port_->finish(now);
         now = std::chrono::steady_clock::now()) {
      std::vector<pollfd> waiting;
      port_->wanted(waiting);
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
      poll(waiting.data(), waiting.size(), static_cast<int>(left));
      port_->served(waiting, std::chrono::steady_clock::now());
    }
  }

  Child child_;
  Machine machine_;
  std::optional<Told> published_;
  FileDescriptor signals_;
  std::unique_ptr<AgentPort> port_;
  std::optional<Instant> left_since_;  // the command has ended, and what it has started has not
  bool over_ = false;
  bool leaving_ = false;  // the container is to end with the command
  int exit_code_ = 0;
};

int usage() {
  std::fputs(
      "muster-exec --keys FOLDER -- COMMAND...: runs COMMAND, again on each new membership\n"
      "muster-exec install FOLDER: copies itself there\n"
      "muster-exec --version\n"
      "The muster operator puts it before the command of containers; it is not meant to be started by "
      "hand.\n",
      stderr);
  return kUsageError;
}

int run(std::vector<std::string> words) {
  AgentPort::Options options{
      .ip = variable(kPodIpVariable), .port = kControlPort, .keys_folder = {}, .dns_name = {}};
  constexpr std::size_t kBeforeCommand = 3;
  if (words.size() <= kBeforeCommand || words[0] != "--keys" || words[2] != "--") return usage();
  options.keys_folder = words[1];
  std::int64_t index = -1;
  const std::string told_index = variable(kIndexVariable);
  std::from_chars(told_index.data(), told_index.data() + told_index.size(), index);
  const std::string job = variable(kJobUidVariable);
  const std::string pod = variable(kPodUidVariable);
  if (job.empty() || pod.empty() || index < 0 || options.ip.empty()) {
    say(std::string(kJobUidVariable) + ", " + kPodUidVariable + ", " + kPodIpVariable + " and " +
        kIndexVariable + " are not all set: only the muster operator starts this program");
    return kExitInvalid;
  }
  options.dns_name = dns_name({.role = variable(kRoleVariable), .index = index, .uid = job});
  words.erase(words.begin(), words.begin() + kBeforeCommand);
  Supervisor supervisor(std::move(words), job, pod);
  if (const Status opened = supervisor.open(options); !opened) {
    say(opened.error().message);
    return opened.error().code == Code::kUnavailable ? kExitRetry : kExitInvalid;
  }
  return supervisor.run();
}

int begin(std::vector<std::string> words) {
  if (words.size() == 1 && words[0] == "--version") {
    std::puts("muster-exec " MUSTER_VERSION);
    return 0;
  }
  if (words.size() == 2 && words[0] == "install") {
    const Status done = install(words[1]);
    if (done) return 0;
    say(done.error().message);
    return 1;
  }
  return run(std::move(words));
}

}  // namespace
}  // namespace muster::exec

int main(int argc, char** argv) {
  try {
    return muster::exec::begin({argv + 1, argv + argc});
  } catch (const std::exception& error) {  // there is no memory
    std::fprintf(stderr, "muster: %s\n", error.what());
    return muster::kExitRetry;
  }
}
