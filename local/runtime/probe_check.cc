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

#include "local/runtime/json_access.h"
#include "local/runtime/prober.h"

namespace muster::local {
namespace {

constexpr std::size_t kOutputBytes = 10 * 1024;  // of a check, kept for the event

class FailedCheck : public ProbeCheck {
 public:
  FailedCheck(const Done& done, const std::string& why) { done(false, why); }
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

// Connects; with a request, sends it and judges the status line of the answer.
class SocketCheck : public ProbeCheck {
 public:
  SocketCheck(Reactor& reactor, const std::string& ip, int port, std::string request, Done done)
      : reactor_(reactor),
        request_(std::move(request)),
        done_(std::move(done)),
        fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    const std::string what = fmt::format("dial tcp {}:{}", ip, port);
    if (fd_ < 0 || ::inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1) {
      finish(false, what + ": not an IPv4 address");
    } else if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
               errno != EINPROGRESS) {
      finish(false, fmt::format("{}: {}", what, std::strerror(errno)));
    } else {
      reactor_.watch(
          fd_, [this, what] { connected(what); }, Reactor::Wait::kWritable);
    }
  }
  ~SocketCheck() override { close_socket(); }
  SocketCheck(const SocketCheck&) = delete;
  SocketCheck& operator=(const SocketCheck&) = delete;

 private:
  void connected(const std::string& what) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return finish(false, what + ": " + std::strerror(error));
    if (request_.empty()) return finish(true, "");
    if (::send(fd_, request_.data(), request_.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request_.size())) {
      return finish(false, what + ": cannot send the request");
    }
    reactor_.forget(fd_);
    reactor_.watch(fd_, [this] { read_answer(); });
  }

  void read_answer() {
    std::array<char, 4096> bytes;
    const ssize_t got = ::recv(fd_, bytes.data(), bytes.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got > 0) answer_.append(bytes.data(), static_cast<std::size_t>(got));
    if (got > 0 && answer_.find('\n') == std::string::npos && answer_.size() < kOutputBytes) return;
    // "HTTP/1.1 200 OK"
    const std::size_t space = answer_.find(' ');
    const long code = answer_.starts_with("HTTP/") && space != std::string::npos
                          ? std::strtol(answer_.c_str() + space + 1, nullptr, 10)
                          : 0;
    finish(code >= 200 && code < 400,
           code == 0 ? "not an HTTP answer" : fmt::format("HTTP probe failed with statuscode: {}", code));
  }

  void finish(bool success, const std::string& output) {
    close_socket();
    done_(success, output);
  }

  void close_socket() {
    if (fd_ < 0) return;
    reactor_.forget(fd_);
    ::close(std::exchange(fd_, -1));
  }

  Reactor& reactor_;
  const std::string request_;
  const Done done_;
  int fd_;
  std::string answer_;
};

// A number, or the name of one of the container's ports; 0 if it is neither.
int port_of(const Json& port, const Json& container) {
  if (port.is_number_integer()) return static_cast<int>(integer(port));
  for (const Json& known : member(container, "ports")) {
    if (member(known, "name") == port) return static_cast<int>(integer(member(known, "containerPort")));
  }
  return static_cast<int>(std::strtol(text(port).c_str(), nullptr, 10));
}

std::string http_request(const Json& get, const std::string& host, int port) {
  std::string path = text(member(get, "path"), "/");
  if (!path.starts_with('/')) path = fmt::format("/{}", path);
  std::string headers;
  bool has_host = false;
  for (const Json& header : member(get, "httpHeaders")) {
    const std::string name = text(member(header, "name"));
    has_host = has_host || name == "Host" || name == "host";
    headers += fmt::format("{}: {}\r\n", name, text(member(header, "value")));
  }
  if (!has_host) headers += fmt::format("Host: {}:{}\r\n", host, port);
  return fmt::format(
      "GET {} HTTP/1.1\r\n{}User-Agent: kube-probe/1.33\r\nAccept: */*\r\nConnection: close\r\n\r\n", path,
      headers);
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
  for (const char* kind : {"tcpSocket", "httpGet"}) {
    const Json& check = member(spec, kind);
    if (!check.is_object()) continue;
    const int port = port_of(member(check, "port"), target.container);
    const std::string host = text(member(check, "host"), target.ip);
    const bool http = std::string_view(kind) == "httpGet";
    if (http && text(member(check, "scheme"), "HTTP") != "HTTP") break;
    return std::make_unique<SocketCheck>(reactor, host, port, http ? http_request(check, host, port) : "",
                                         std::move(done));
  }
  return std::make_unique<FailedCheck>(
      done, "without a cluster, probes are exec, tcpSocket or httpGet with scheme HTTP");
}

}  // namespace muster::local
