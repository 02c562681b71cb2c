// bench/worker/bare_stream.cc: one plain connection to the next rank, as fast as it goes
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "bench/worker/contender.h"
#include "worker/transport/sockets.h"

namespace muster::bench {
namespace {

using worker::Fd;

class BareStream final : public Contender {
 public:
  explicit BareStream(const Place& place) : ranks_(place.size) {
    const auto address = worker::make_address(place.address, 0);
    if (!address) die(address.error().message);
    const auto listener = worker::listen_on(*address, 1);
    if (!listener) die(listener.error().message);
    const auto all = meet(place, worker::port_of(listener->get()));
    auto next = worker::parse_address(all[static_cast<std::size_t>((place.rank + 1) % place.size)]);
    if (!next) die(next.error().message);
    to_ = Fd(socket(next->family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(to_.get(), next->any(), next->length) != 0) die("the bare stream's connection failed");
    pollfd ready{.fd = listener->get(), .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, 30'000) != 1) die("nobody connected to the bare stream");
    from_ = Fd(accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
    worker::tune_stream(to_.get(), 60'000);  // no delay, as the others
    worker::tune_stream(from_.get(), 60'000);
  }

  [[nodiscard]] std::string name() const override { return "bare tcp"; }

  void all_reduce(std::span<float> buffer) override {
    const auto n = static_cast<std::size_t>(ranks_);
    const std::size_t bytes = std::max<std::size_t>(2 * (n - 1) * buffer.size_bytes() / n, 1);
    std::size_t sent = 0;
    std::size_t received = 0;
    scratch_.resize(kAtOnce);
    while (sent < bytes || received < bytes) {
      pollfd ready[2] = {{.fd = sent < bytes ? to_.get() : -1, .events = POLLOUT, .revents = 0},
                         {.fd = received < bytes ? from_.get() : -1, .events = POLLIN, .revents = 0}};
      if (poll(ready, 2, 30'000) <= 0) die("the bare stream stands still");
      if (ready[0].revents != 0)
        sent += moved(
            send(to_.get(), scratch_.data(), std::min(bytes - sent, kAtOnce), MSG_DONTWAIT | MSG_NOSIGNAL));
      if (ready[1].revents != 0)
        received +=
            moved(recv(from_.get(), scratch_.data(), std::min(bytes - received, kAtOnce), MSG_DONTWAIT));
    }
  }

 private:
  static constexpr std::size_t kAtOnce = 256 * 1024;
  static std::size_t moved(ssize_t result) { return result > 0 ? static_cast<std::size_t>(result) : 0; }

  int ranks_;
  Fd to_;
  Fd from_;
  std::vector<char> scratch_;
};

}  // namespace

std::unique_ptr<Contender> make_bare_stream(const Place& place) {
  return std::make_unique<BareStream>(place);
}

}  // namespace muster::bench
