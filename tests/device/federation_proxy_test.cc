// tests/device/federation_proxy_test.cc: client pods whose way to the aggregator leads through an HTTP proxy
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <mutex>

#include "common/platform/file_descriptor.h"
#include "tests/device/federation_calls.h"
#include "tests/device/federation_process.h"

namespace muster {
namespace {

using testing::HasSubstr;

// A proxy that knows CONNECT alone, and may hang up on everybody.
class ConnectProxy {
 public:
  ConnectProxy() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in self{};
    self.sin_family = AF_INET;
    self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof self;
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<const sockaddr*>(&self), size), 0);
    EXPECT_EQ(listen(listener_.get(), 16), 0);
    EXPECT_EQ(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&self), &size), 0);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(self.sin_port));
    thread_ = std::jthread([this](const std::stop_token& stop) { accept_all(stop); });
  }
  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] int tunnels() const { return tunnels_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::string asked() {
    const std::scoped_lock lock(mutex_);
    return asked_;
  }
  void cut_all() { ++cut_; }

 private:
  static constexpr int kTick = 20;  // ms after which threads look whether they are to end
  static bool readable(int fd) {
    pollfd news{.fd = fd, .events = POLLIN, .revents = 0};
    return poll(&news, 1, kTick) == 1;
  }
  void accept_all(const std::stop_token& stop) {
    std::vector<std::jthread> tunnels;
    while (!stop.stop_requested()) {
      if (!readable(listener_.get())) continue;
      FileDescriptor client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      tunnels.emplace_back(
          [this, client = std::move(client)](const std::stop_token& end) { serve(client, end); });
    }
  }
  void serve(const FileDescriptor& client, const std::stop_token& stop) {
    std::string request;
    char byte = 0;
    while (!request.ends_with("\r\n\r\n") && request.size() < 4096 && recv(client.get(), &byte, 1, 0) == 1)
      request += byte;
    {
      const std::scoped_lock lock(mutex_);
      asked_ = request;
    }
    // CONNECT 127.1.2.1:8471 HTTP/1.1
    const std::size_t begin = request.find(' ') + 1;
    const std::size_t colon = request.find(':', begin);
    if (!request.starts_with("CONNECT ") || colon == std::string::npos) return;
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(request.c_str() + colon + 1)));
    inet_pton(AF_INET, request.substr(begin, colon - begin).c_str(), &to.sin_addr);
    const FileDescriptor server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(server.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return;
    const std::string granted = "HTTP/1.1 200 Connection established\r\n\r\n";
    if (send(client.get(), granted.data(), granted.size(), MSG_NOSIGNAL) < 0) return;
    ++tunnels_;
    const int cut = cut_;
    while (!stop.stop_requested() && cut == cut_) {
      pollfd both[] = {{client.get(), POLLIN, 0}, {server.get(), POLLIN, 0}};
      if (poll(both, 2, kTick) <= 0) continue;
      for (int i = 0; i < 2; ++i)
        if (both[i].revents != 0 && !pass(both[i].fd, both[1 - i].fd)) return;
    }
  }
  bool pass(int from, int to) {
    char buffer[65'536];
    const ssize_t got = recv(from, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    bytes_ += static_cast<std::uint64_t>(got);
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t more = send(to, buffer + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
      if (more <= 0) return false;
      sent += more;
    }
    return true;
  }

  FileDescriptor listener_;
  std::string url_;
  std::mutex mutex_;
  std::string asked_;
  std::atomic<int> tunnels_ = 0;
  std::atomic<int> cut_ = 0;
  std::atomic<std::uint64_t> bytes_ = 0;
  std::jthread thread_;
};

// Sets the variable for the pods that are started while it lives.
class ProxyOfPods {
 public:
  explicit ProxyOfPods(const std::string& url) { setenv("MUSTER_HTTPS_PROXY", url.c_str(), 1); }
  ~ProxyOfPods() { unsetenv("MUSTER_HTTPS_PROXY"); }
};

TEST_F(FederationProcess, ThroughAProxyThatHangsUpTheFederationGoesOn) {
  ConnectProxy proxy;
  federation_.rounds = 40;
  federation_.training.model = {.name = "mlp", .hidden = {2048}};  // 570 KB: some chunks a transfer
  const auto server = aggregator();
  const ProxyOfPods variable(proxy.url());
  const auto first = device(0);
  const auto second = device(1);
  ASSERT_TRUE(server->until(committed(2)));
  EXPECT_THAT(proxy.asked(), HasSubstr("CONNECT " + base_ + "1:8471 HTTP/1."));
  const int before = proxy.tunnels();
  EXPECT_GE(before, 2) << "one of each pod";
  proxy.cut_all();
  ASSERT_TRUE(eventually([&] { return proxy.tunnels() >= before + 2; })) << "both come again";
  const auto last = server->until(succeeded);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->aggregator().round(), 40);
  EXPECT_GT(proxy.bytes(), last->aggregator().bytes_sent() + last->aggregator().bytes_received())
      << "nothing goes beside it";
  EXPECT_EQ(first->wait_exit(std::chrono::seconds(10)), 0);
  EXPECT_EQ(second->wait_exit(std::chrono::seconds(10)), 0);
}

TEST_F(FederationProcess, AProxyThatIsNoneIsSaidAtOnce) {
  for (const char* wrong :
       {"https://proxy:3128", "proxy:3128", "http://proxy", "http://proxy:0", "http://proxy:x"}) {
    const ProxyOfPods variable(wrong);
    Pod pod(MUSTER_DEVICE_BINARY, "fr-client-0", base_ + "10", kUid, folder_);
    EXPECT_EQ(pod.wait_exit(std::chrono::seconds(20)), 65) << wrong;
    EXPECT_THAT(pod.log(), HasSubstr("the proxy must be http://host:port")) << wrong;
  }
}

}  // namespace
}  // namespace muster
