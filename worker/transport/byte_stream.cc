// worker/transport/byte_stream.cc: bytes as they are
#include "worker/transport/byte_stream.h"

#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace muster::worker {
namespace {

template <typename Bytes>
msghdr gather(std::array<iovec, 2>& parts, Bytes head, Bytes body) {
  msghdr message{};
  message.msg_iov = parts.data();
  for (const auto bytes : {head, body}) {
    if (bytes.empty()) continue;
    parts[message.msg_iovlen++] = {.iov_base = const_cast<void*>(static_cast<const void*>(bytes.data())),
                                   .iov_len = bytes.size()};
  }
  return message;
}

}  // namespace

Moved PlainStream::send(std::span<const std::byte> head, std::span<const std::byte> body) {
  std::array<iovec, 2> parts{};
  const msghdr message = gather(parts, head, body);
  const ssize_t sent = sendmsg(fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return {.end = end_of(errno)};
  return {.bytes = static_cast<std::size_t>(sent)};
}

Moved PlainStream::receive(std::span<std::byte> head, std::span<std::byte> body) {
  std::array<iovec, 2> parts{};
  msghdr message = gather(parts, head, body);
  const ssize_t received = recvmsg(fd(), &message, MSG_DONTWAIT);
  if (received < 0) return {.end = end_of(errno)};
  return {.bytes = static_cast<std::size_t>(received),
          .end = received == 0 ? Moved::End::kClosed : Moved::End::kNone};
}

Moved::End end_of(int error_number) {
  switch (error_number) {
    case EAGAIN:
    case EINTR: return Moved::End::kNone;
    case ETIMEDOUT:
    case EHOSTUNREACH: return Moved::End::kUnreachable;
    default: return Moved::End::kClosed;
  }
}

}  // namespace muster::worker
