// local/runtime/probe_check.cc: exec, tcpSocket and httpGet checks without blocking
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "common/platform/file_descriptor.h"
#include "local/runtime/dialogue.h"
#include "local/runtime/json_access.h"
#include "local/runtime/prober.h"

namespace muster::local {
namespace {

constexpr std::size_t kOutputBytes = 10 * 1024;  // of a check, kept for the event

class FailedCheck : public ProbeCheck {
 public:
  FailedCheck(const Done& done, const std::string& why) { done(false, why); }
};

class SleepCheck : public ProbeCheck {  // of lifecycle hooks
 public:
  SleepCheck(Reactor& reactor, std::chrono::seconds span, const Done& done)
      : reactor_(reactor),
        timer_(reactor.at(std::chrono::steady_clock::now() + span, [done] { done(true, ""); })) {}
  ~SleepCheck() override { reactor_.cancel(timer_); }
  SleepCheck(const SleepCheck&) = delete;
  SleepCheck& operator=(const SleepCheck&) = delete;

 private:
  Reactor& reactor_;
  const Reactor::TimerId timer_;
};

class ExecCheck : public ProbeCheck {
 public:
  ExecCheck(Reactor& reactor, const ContainerProcess::Spec& spec, Done done) : done_(std::move(done)) {
    auto process = ContainerProcess::start(
        reactor, spec,
        {.started = [](pid_t) {},
         .output =
             [this](std::string_view bytes) {
               output_.append(bytes.substr(0, kOutputBytes - output_.size()));
             },
         .ended =
             [this](const ContainerProcess::Ended& how) {
               const bool success = how.started && WIFEXITED(how.status) && WEXITSTATUS(how.status) == 0;
               done_(success, how.started ? output_ : std::strerror(how.error));
             }});
    if (process) {
      process_ = *std::move(process);
    } else {
      done_(false, process.error().message);
    }
  }

 private:
  Done done_;
  std::string output_;
  std::unique_ptr<ContainerProcess> process_;
};

// Connects; with a dialogue, leads it until there is a verdict.
class SocketCheck : public ProbeCheck {
 public:
  SocketCheck(Reactor& reactor, const std::string& ip, int port, std::unique_ptr<Dialogue> dialogue,
              Done done)
      : reactor_(reactor),
        what_(fmt::format("dial tcp {}:{}", ip, port)),
        dialogue_(std::move(dialogue)),
        done_(std::move(done)),
        fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    if (!fd_.valid() || ::inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1) {
      finish(false, what_ + ": not an IPv4 address");
    } else if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
               errno != EINPROGRESS) {
      finish(false, fmt::format("{}: {}", what_, std::strerror(errno)));
    } else {
      wait(Reactor::Wait::kWritable, &SocketCheck::connected);
    }
  }
  ~SocketCheck() override { close_socket(); }
  SocketCheck(const SocketCheck&) = delete;
  SocketCheck& operator=(const SocketCheck&) = delete;

 private:
  void wait(Reactor::Wait what, void (SocketCheck::*next)()) {
    reactor_.forget(fd_.get());
    reactor_.watch(
        fd_.get(), [this, next] { (this->*next)(); }, what);
  }

  void connected() {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return finish(false, what_ + ": " + std::strerror(error));
    if (!dialogue_) return finish(true, "");
    go_on();
  }

  void go_on() {
    if (const auto verdict = dialogue_->verdict()) return finish(verdict->success, verdict->output);
    unsent_ += dialogue_->output();
    const ssize_t sent =
        unsent_.empty() ? 0 : ::send(fd_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
      return finish(false, fmt::format("{}: {}", what_, std::strerror(errno)));
    if (sent > 0) unsent_.erase(0, static_cast<std::size_t>(sent));
    if (unsent_.empty()) {
      wait(Reactor::Wait::kReadable, &SocketCheck::read_some);
    } else {
      wait(Reactor::Wait::kWritable, &SocketCheck::go_on);
    }
  }

  void read_some() {
    std::array<char, 4096> bytes;
    const ssize_t got = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got > 0) {
      dialogue_->input({bytes.data(), static_cast<std::size_t>(got)});
    } else {
      dialogue_->end();
    }
    go_on();
  }

  void finish(bool success, const std::string& output) {
    close_socket();
    done_(success, output);
  }

  void close_socket() {
    if (!fd_.valid()) return;
    reactor_.forget(fd_.get());
    fd_.reset();
  }

  Reactor& reactor_;
  const std::string what_;
  const std::unique_ptr<Dialogue> dialogue_;
  const Done done_;
  FileDescriptor fd_;
  std::string unsent_;
};

// A number, or the name of one of the container's ports; 0 if it is neither.
int port_of(const Json& port, const Json& container) {
  if (port.is_number_integer()) return static_cast<int>(integer(port));
  for (const Json& known : member(container, "ports")) {
    if (member(known, "name") == port) return static_cast<int>(integer(member(known, "containerPort")));
  }
  return static_cast<int>(std::strtol(text(port).c_str(), nullptr, 10));
}

}  // namespace

std::unique_ptr<ProbeCheck> start_check(Reactor& reactor, const Json& spec, const ProbeTarget& target,
                                        ProbeCheck::Done done) {
  if (const Json& exec = member(spec, "exec"); exec.is_object()) {
    ContainerProcess::Spec command = target.exec;
    command.command.clear();
    for (const Json& word : member(exec, "command")) command.command.push_back(target.rewrite(text(word)));
    if (!command.command.empty()) return std::make_unique<ExecCheck>(reactor, command, std::move(done));
  }
  const auto connect = [&](const Json& check, std::unique_ptr<Dialogue> dialogue) {
    return std::make_unique<SocketCheck>(reactor, text(member(check, "host"), target.ip),
                                         port_of(member(check, "port"), target.container),
                                         std::move(dialogue), std::move(done));
  };
  if (const Json& tcp = member(spec, "tcpSocket"); tcp.is_object()) return connect(tcp, nullptr);
  if (const Json& get = member(spec, "httpGet"); get.is_object() && text(member(get, "scheme")) != "HTTPS") {
    return connect(get, http_get(get, text(member(get, "host"), target.ip),
                                 port_of(member(get, "port"), target.container)));
  }
  if (const Json& sleep = member(spec, "sleep"); sleep.is_object()) {
    return std::make_unique<SleepCheck>(reactor, std::chrono::seconds(integer(member(sleep, "seconds"))),
                                        done);
  }
  return std::make_unique<FailedCheck>(
      done,
      "without a cluster a probe or hook is one of exec, tcpSocket and httpGet over HTTP; use one of them");
}

}  // namespace muster::local
