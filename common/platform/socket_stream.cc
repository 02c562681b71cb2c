// common/platform/socket_stream.cc: the plain one
#include "common/platform/socket_stream.h"

#include <sys/socket.h>

#include <cerrno>

namespace muster {
namespace {

class PlainStream final : public SocketStream {
 public:
  explicit PlainStream(FileDescriptor connection) : connection_(std::move(connection)) {}

  [[nodiscard]] int descriptor() const override { return connection_.get(); }
  [[nodiscard]] Moved read(std::span<char> into) override {
    return moved(recv(connection_.get(), into.data(), into.size(), 0), State::kWantsRead);
  }
  [[nodiscard]] Moved write(std::string_view bytes) override {
    return moved(send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), State::kWantsWrite);
  }
  void finish() override { shutdown(connection_.get(), SHUT_WR); }
  [[nodiscard]] std::string_view fault() const override { return {}; }

 private:
  static Moved moved(ssize_t count, State wants) {
    if (count > 0) return {.state = State::kMoved, .bytes = static_cast<std::size_t>(count)};
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return {.state = wants};
    return {};
  }

  FileDescriptor connection_;
};

}  // namespace

std::unique_ptr<SocketStream> plain_stream(FileDescriptor connection) {
  return std::make_unique<PlainStream>(std::move(connection));
}

}  // namespace muster
