// operator/shell/progress_relay.cc: threads that each carry one request to the leader and its answer back
#include "operator/shell/progress_relay.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/platform/socket_address.h"
#include "operator/shell/ip_port.h"

namespace muster::op {
namespace {

constexpr std::size_t kAnswerBytesMax = 256 * 1024;
constexpr std::chrono::milliseconds kLook{100};  // whether to give up

std::optional<SocketAddress> parse_address(const std::string& text) {
  const auto address = parse_ip_port("", text);
  return address ? SocketAddress::of(address->ip, address->port) : std::nullopt;
}

class Exchange {
 public:
  Exchange(const TlsContext& tls, const std::stop_token& stop, Deadline deadline)
      : tls_(tls), stop_(stop), deadline_(deadline) {}

  Result<HttpAnswer> run(SocketAddress address, const std::string& request) {
    MUSTER_TRY(in_time());
    MUSTER_TRY(connect(address));
    MUSTER_TRY(send(request));
    MUSTER_ASSIGN(const std::string answer, receive());
    return parse_answer(answer);
  }

 private:
  Status connect(SocketAddress& address) {
    FileDescriptor fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return resource_exhausted("no file descriptor is left");
    const int begun = ::connect(fd.get(), address.any(), address.length);
    if (begun != 0 && errno != EINPROGRESS) return unavailable("it cannot be reached");
    MUSTER_TRY(wait(fd.get(), POLLOUT));
    int fault = 0;
    socklen_t length = sizeof fault;
    if (getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &fault, &length) != 0 || fault != 0)
      return unavailable("it cannot be reached");
    stream_ = tls_.stream(std::move(fd));
    if (stream_ == nullptr) return internal_error("OpenSSL cannot begin TLS");
    return {};
  }

  Status send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto moved = stream_->write(bytes);
      if (moved.state == SocketStream::State::kMoved) bytes.remove_prefix(moved.bytes);
      MUSTER_TRY(wait_for(moved.state));
      if (moved.state == SocketStream::State::kEnded) return ended();
    }
    return {};
  }

  Result<std::string> receive() {
    std::string all;
    char bytes[4096];
    while (all.size() <= kAnswerBytesMax) {
      const auto moved = stream_->read(bytes);
      if (moved.state == SocketStream::State::kEnded) return all.empty() ? Result<std::string>(ended()) : all;
      if (moved.state == SocketStream::State::kMoved) all.append(bytes, moved.bytes);
      MUSTER_TRY(wait_for(moved.state));
    }
    return unavailable("its answer has no end");
  }

  [[nodiscard]] Error ended() const {
    return unavailable(stream_->fault().empty() ? "it closed the connection"
                                                : "who answers there is not this authority's operator");
  }

  Status wait_for(SocketStream::State state) {
    if (state == SocketStream::State::kWantsRead) return wait(stream_->descriptor(), POLLIN);
    if (state == SocketStream::State::kWantsWrite) return wait(stream_->descriptor(), POLLOUT);
    return {};
  }

  [[nodiscard]] Status in_time() const {
    if (std::chrono::steady_clock::now() < deadline_) return {};
    return deadline_exceeded(fmt::format("no answer within {} s", ProgressRelay::kPatience.count()));
  }

  Status wait(int fd, short events) {
    while (!stop_.stop_requested()) {
      MUSTER_TRY(in_time());
      const auto left = deadline_ - std::chrono::steady_clock::now();
      pollfd polled{.fd = fd, .events = events, .revents = 0};
      const auto span =
          std::min<std::chrono::milliseconds>(kLook, std::chrono::ceil<std::chrono::milliseconds>(left));
      if (poll(&polled, 1, static_cast<int>(std::max<std::int64_t>(span.count(), 0))) > 0) return {};
    }
    return unavailable("the operator ends");
  }

  const TlsContext& tls_;
  const std::stop_token& stop_;
  const Deadline deadline_;
  std::unique_ptr<SocketStream> stream_;
};

std::string text_of(const HttpRequest& request) {
  return fmt::format(
      "{} {} HTTP/1.1\r\nHost: operator.muster.dev\r\nAuthorization: {}\r\n{}: 1\r\nContent-Length: "
      "{}\r\n\r\n{}",
      request.method, request.target, request.header("authorization"), ProgressRelay::kHeader,
      request.body.size(), request.body);
}

}  // namespace

ProgressRelay::ProgressRelay() {
  for (int i = 0; i < kThreads; ++i)
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
}

ProgressRelay::~ProgressRelay() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
}

void ProgressRelay::pass_on(std::string address, TlsContext tls, HttpRequest request, Done done) {
  {
    const MutexLock lock(mutex_);
    if (errands_.size() < kWaitingMax) {
      errands_.push_back({deadline_after(kPatience), std::move(address), std::move(tls), std::move(request),
                          std::move(done)});
      wake_.notify_one();
      return;
    }
  }
  done(resource_exhausted("too many wait for the leader"));
}

void ProgressRelay::work(const std::stop_token& stop) {
  while (true) {
    MutexLock lock(mutex_);
    const bool some = wake_.wait(lock, stop, [this]() MUSTER_REQUIRES(mutex_) { return !errands_.empty(); });
    if (!some || stop.stop_requested()) return;
    Errand errand = std::move(errands_.front());
    errands_.pop_front();
    lock.unlock();
    auto address = parse_address(errand.address);
    errand.done(address ? Exchange(errand.tls, stop, errand.deadline).run(*address, text_of(errand.request))
                        : Result<HttpAnswer>(unavailable("its address is none")));
    lock.lock();
  }
}

}  // namespace muster::op
