// local/operator_process.cc: start, restart and end of muster-operator
#include "local/operator_process.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <random>
#include <utility>

#include "common/platform/log.h"

namespace muster::local {
namespace {

constexpr std::size_t kLogBytes = 10 * 1024 * 1024;
constexpr std::size_t kTailBytes = 64 * 1024;
constexpr std::chrono::seconds kHealthyAfter{30};  // having run so long, it starts again without delay

std::string how_it_ended(const ContainerProcess::Ended& how) {
  if (!how.started) return std::strerror(how.error);
  if (WIFSIGNALED(how.status)) return fmt::format("signal {}", WTERMSIG(how.status));
  return fmt::format("exit code {}", WEXITSTATUS(how.status));
}

}  // namespace

Result<std::unique_ptr<OperatorProcess>> OperatorProcess::start(Options options) {
  for (const char* name : {"muster-operator", "muster-init"}) {
    const std::filesystem::path binary = options.binaries / name;
    if (::access(binary.c_str(), X_OK) != 0) {
      return not_found(fmt::format("binary {} not found; build it with `./dev build`", binary.string()));
    }
  }
  std::unique_ptr<OperatorProcess> out(new OperatorProcess(std::move(options)));
  out->reactor_.post([raw = out.get()] { raw->spawn(); });
  out->thread_ = std::thread([raw = out.get()] { raw->reactor_.run(); });
  return out;
}

OperatorProcess::OperatorProcess(Options options)
    : options_(std::move(options)),
      log_(options_.run_folder / "operator.log", kLogBytes),
      backoff_({.first = std::chrono::milliseconds(250),
                .max = std::chrono::milliseconds(10'000),
                .factor = 2.0,
                .jitter = 0.2},
               std::random_device{}()) {}

OperatorProcess::~OperatorProcess() {
  (void)stop(std::chrono::milliseconds(0), deadline_after(std::chrono::seconds(2)));
}

void OperatorProcess::spawn() {
  if (stopping_) return;
  ContainerProcess::Spec spec{.init = options_.binaries / "muster-init",
                              .command = {(options_.binaries / "muster-operator").string()},
                              .environment = {},
                              .directory = "/"};
  spec.command.insert(spec.command.end(), options_.arguments.begin(), options_.arguments.end());
  for (char** variable = environ; *variable != nullptr; ++variable) spec.environment.emplace_back(*variable);
  spec.environment.push_back("MUSTER_RUN_FOLDER=" + options_.run_folder.string());
  spawned_at_ = std::chrono::steady_clock::now();
  auto process = ContainerProcess::start(
      reactor_, spec,
      {.started = [](pid_t pid) { spdlog::debug("operator started pid={}", pid); },
       .output = [this](std::string_view bytes) { log_.append(bytes, std::chrono::system_clock::now()); },
       .ended = [this](const ContainerProcess::Ended& how) { ended(how); }});
  if (process) {
    process_ = *std::move(process);
    return;
  }
  spdlog::error("cannot start the operator, trying again error={}", process.error().message);
  spawn_later();
}

void OperatorProcess::spawn_later() {
  reactor_.at(std::chrono::steady_clock::now() + backoff_.next(), [this] { spawn(); });
}

void OperatorProcess::ended(const ContainerProcess::Ended& how) {
  const auto done = std::move(process_);
  if (stopping_) {
    const MutexLock lock(mutex_);
    ended_ = true;
    changed_.notify_all();
    return;
  }
  spdlog::warn("the operator ended, starting it again how={} log={}", how_it_ended(how), log_file().string());
  if (std::chrono::steady_clock::now() - spawned_at_ >= kHealthyAfter) backoff_.reset();
  spawn_later();
}

Status OperatorProcess::stop(std::chrono::milliseconds grace, Deadline deadline) {
  if (!thread_.joinable()) return {};
  reactor_.post([this, grace] {
    stopping_ = true;
    if (!process_) {
      const MutexLock lock(mutex_);
      ended_ = true;
      changed_.notify_all();
      return;
    }
    process_->signal(SIGTERM);
    reactor_.at(std::chrono::steady_clock::now() + grace, [this] {
      if (process_) process_->kill();
    });
  });
  bool ended = false;
  {
    MutexLock lock(mutex_);
    ended = changed_.wait_until(lock, deadline, [this]() MUSTER_REQUIRES(mutex_) { return ended_; });
  }
  reactor_.post([this] {
    process_.reset();
    reactor_.stop();
  });
  thread_.join();
  log_.end(std::chrono::system_clock::now());
  if (!ended) return deadline_exceeded("muster-operator did not end in time; look for its process with `ps`");
  return {};
}

std::filesystem::path OperatorProcess::log_file() const { return log_.file(log_.position().newest); }

std::string OperatorProcess::log_tail(std::size_t lines) const { return log_.tail(kTailBytes, lines); }

}  // namespace muster::local
