// common/program/channel.cc: poll, sendmsg, recvmsg
#include "common/program/channel.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace muster::program {
namespace {

constexpr std::size_t kPiece = 4 << 20;  // of a body: memory is taken as it comes, not as it was promised
constexpr int kBacklog = 4;
constexpr int kOfferedMax =
    16 << 10;  // bytes with their buffers: who does not read finds room for what counts

// Errors: kDeadlineExceeded.
Status wait_for(int socket, short events, Deadline deadline) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd entry{.fd = socket, .events = events, .revents = 0};
    const int ready =
        ::poll(&entry, 1, static_cast<int>(std::clamp<std::int64_t>(left.count() + 1, 0, 60'000)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return internal_error(std::string("poll: ") + std::strerror(errno));
    if (std::chrono::steady_clock::now() >= deadline)
      return deadline_exceeded("the other end did not answer in time");
  }
}

Error socket_error(const std::string& what, const std::string& path) {
  const int error = errno;
  std::string message = what + " " + path + ": " + std::strerror(error);
  if (error == EACCES || error == EPERM) return {Code::kPermissionDenied, std::move(message)};
  if (error == ENOENT || error == ECONNREFUSED || error == EAGAIN) return unavailable(std::move(message));
  return internal_error(std::move(message));
}

// An address has room for 107 bytes, a volume's folder may be deeper: it is named by a descriptor of its
// folder.
struct SocketPlace {
  FileDescriptor folder;
  sockaddr_un address{};
};
Result<SocketPlace> place_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  SocketPlace place{.folder = FileDescriptor(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC))};
  if (!place.folder.valid()) return socket_error("cannot open the folder of", path);
  const std::string shown = "/proc/self/fd/" + std::to_string(place.folder.get()) + "/" + name;
  place.address.sun_family = AF_UNIX;
  if (name.empty() || shown.size() >= sizeof place.address.sun_path)
    return invalid_argument("the name of the socket " + path + " is empty or too long");
  std::memcpy(place.address.sun_path, shown.c_str(), shown.size() + 1);
  return place;
}

FileDescriptor new_socket() {
  return FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

Error closed() { return unavailable("the other end has closed the connection"); }

}  // namespace

Result<FileDescriptor> connect_to(const std::string& path) {
  MUSTER_ASSIGN(const SocketPlace place, place_of(path));
  FileDescriptor socket = new_socket();
  if (!socket.valid() ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&place.address), sizeof place.address) != 0)
    return socket_error("cannot connect to", path);
  return socket;
}

Result<FileDescriptor> listen_at(const std::string& path) {
  MUSTER_ASSIGN(const SocketPlace place, place_of(path));
  ::unlink(place.address.sun_path);
  FileDescriptor socket = new_socket();
  if (!socket.valid() ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&place.address), sizeof place.address) != 0 ||
      ::chmod(place.address.sun_path, 0666) != 0 || ::listen(socket.get(), kBacklog) != 0)
    return socket_error("cannot listen at", path);
  return socket;
}

Channel::Channel(FileDescriptor socket) : socket_(std::move(socket)) {
  ::fcntl(socket_.get(), F_SETFL, ::fcntl(socket_.get(), F_GETFL) | O_NONBLOCK);
}

void Channel::shut_down() noexcept { ::shutdown(socket_.get(), SHUT_RDWR); }

Status Channel::send(Frame frame, std::span<const std::byte> body, Deadline deadline, int descriptor) {
  frame.body_bytes = body.size();
  const auto head = encode(frame);
  std::array<std::span<const std::byte>, 2> parts{std::span<const std::byte>(head), body};
  bool first = true;
  for (std::size_t i = 0; i < parts.size();) {
    if (parts[i].empty()) {
      ++i;
      continue;
    }
    iovec vector{.iov_base = const_cast<std::byte*>(parts[i].data()), .iov_len = parts[i].size()};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    if (first && descriptor >= 0) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
    }
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      parts[i] = parts[i].subspan(static_cast<std::size_t>(sent));
      first = false;
    } else if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      MUSTER_TRY(wait_for(socket_.get(), POLLOUT, deadline));
    } else if (sent >= 0 || errno != EINTR) {
      return closed();
    }
  }
  return {};
}

void Channel::offer(const Frame& frame) noexcept {
  int waiting = 0;
  if (::ioctl(socket_.get(), SIOCOUTQ, &waiting) != 0 || waiting > kOfferedMax) return;
  const auto head = encode(frame);
  // A send of so few bytes is all or nothing: they are one buffer of the socket.
  static_cast<void>(::send(socket_.get(), head.data(), head.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
}

Status Channel::read(std::span<std::byte> to, Deadline deadline) {
  while (!to.empty()) {
    iovec vector{.iov_base = to.data(), .iov_len = to.size()};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got > 0) {
      for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        // Padding leaves room for more than the one that is expected; of several the last is kept.
        for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= part->cmsg_len; at += sizeof(int)) {
          int descriptor = -1;
          std::memcpy(&descriptor, reinterpret_cast<const char*>(part) + at, sizeof descriptor);
          received_ = FileDescriptor(descriptor);
        }
      }
      to = to.subspan(static_cast<std::size_t>(got));
    } else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      MUSTER_TRY(wait_for(socket_.get(), POLLIN, deadline));
    } else if (got >= 0 || errno != EINTR) {
      return closed();
    }
  }
  return {};
}

Result<std::optional<Frame>> Channel::receive(Deadline quiet) {
  if (const Status some = wait_for(socket_.get(), POLLIN, quiet); !some) {
    if (some.error().code == Code::kDeadlineExceeded) return std::optional<Frame>();
    return some.error();
  }
  std::array<std::byte, kFrameBytes> bytes{};
  MUSTER_TRY(read(bytes, deadline_after(kFrameTime)));
  MUSTER_ASSIGN(Frame frame, decode(bytes));
  return std::optional(frame);
}

Status Channel::receive_body(std::uint64_t bytes, std::vector<std::byte>& body, Deadline deadline) {
  body.clear();
  while (body.size() < bytes) {
    const std::size_t begin = body.size();
    body.resize(begin + static_cast<std::size_t>(std::min<std::uint64_t>(bytes - begin, kPiece)));
    MUSTER_TRY(read(std::span(body).subspan(begin), deadline));
  }
  return {};
}

std::optional<Channel::End> Channel::waiting_end() const {
  std::array<std::byte, kFrameBytes + kTextMax + kOfferedMax> waiting{};
  const ssize_t got = ::recv(socket_.get(), waiting.data(), waiting.size(), MSG_PEEK | MSG_DONTWAIT);
  auto rest = std::span<const std::byte>(waiting).first(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  while (rest.size() >= kFrameBytes) {
    const auto frame = decode(rest.first<kFrameBytes>());
    if (!frame || frame->body_bytes > rest.size() - kFrameBytes) return std::nullopt;
    const auto body = rest.subspan(kFrameBytes, static_cast<std::size_t>(frame->body_bytes));
    if (frame->kind == Kind::kEnd)
      return End{.exit_code = frame->numbers[0],
                 .words = std::string(reinterpret_cast<const char*>(body.data()), body.size())};
    rest = rest.subspan(kFrameBytes + body.size());
  }
  return std::nullopt;
}

}  // namespace muster::program
