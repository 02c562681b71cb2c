// local/tests/runtime/probe_test.cc: thresholds on paused time, checks against a real socket
#include "local/runtime/probe.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "local/runtime/dialogue.h"
#include "local/runtime/prober.h"

namespace muster::local {
namespace {

using std::chrono::seconds;

TEST(Probe, WaitsThenCountsAnswersInARow) {
  const Instant start = Instant() + seconds(100);
  Probe probe(ProbeKind::kLiveness,
              {{"initialDelaySeconds", 5}, {"periodSeconds", 2}, {"failureThreshold", 2}}, start);
  EXPECT_EQ(probe.due(), start + seconds(5));
  probe.begin();
  EXPECT_EQ(probe.due(), std::nullopt);
  EXPECT_EQ(probe.answer(false, start + seconds(5)), ProbeVerdict::kUndecided);
  EXPECT_EQ(probe.due(), start + seconds(7));
  EXPECT_EQ(probe.answer(true, start + seconds(7)), ProbeVerdict::kHealthy);
  EXPECT_EQ(probe.answer(false, start + seconds(9)), ProbeVerdict::kUndecided);
  EXPECT_EQ(probe.answer(false, start + seconds(11)), ProbeVerdict::kUnhealthy);
}

// A server that answers one connection with `answer`, and closes.
class OneShotServer {
 public:
  explicit OneShotServer(std::string answer) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_, 1), 0);
    socklen_t size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, text = std::move(answer)] {
      const int client = ::accept(fd_, nullptr, nullptr);
      char request[1024];
      if (!text.empty() && ::recv(client, request, sizeof request, 0) > 0) {
        EXPECT_EQ(::send(client, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
      }
      ::close(client);
    });
  }
  ~OneShotServer() {
    thread_.join();
    ::close(fd_);
  }
  [[nodiscard]] int port() const { return port_; }

 private:
  int fd_;
  int port_ = 0;
  std::thread thread_;
};

struct Answer {
  bool success = false;
  std::string output;
};

Answer check(const Json& spec) {
  Reactor reactor;
  Answer out;
  std::unique_ptr<ProbeCheck> running;
  reactor.at(std::chrono::steady_clock::now(), [&] {
    running = start_check(reactor, spec,
                          {.ip = "127.0.0.1", .container = Json::object(), .exec = {}, .rewrite = {}},
                          [&](bool success, const std::string& output) {
                            out = {success, output};
                            reactor.stop();
                          });
  });
  reactor.at(std::chrono::steady_clock::now() + seconds(10), [&] { reactor.stop(); });
  reactor.run();
  return out;
}

Json http(int port) { return {{"httpGet", {{"port", port}, {"path", "/healthz"}}}}; }

TEST(ProbeCheck, JudgesHttpByItsStatus) {
  {
    const OneShotServer good("HTTP/1.1 204 No Content\r\n\r\n");
    EXPECT_TRUE(check(http(good.port())).success);
  }
  {
    const OneShotServer bad("HTTP/1.1 503 Unavailable\r\n\r\n");
    const Answer answer = check(http(bad.port()));
    EXPECT_FALSE(answer.success);
    EXPECT_EQ(answer.output, "HTTP probe failed with statuscode: 503");
  }
  const OneShotServer strange("hello\r\n");
  EXPECT_FALSE(check(http(strange.port())).success);
}

TEST(ProbeCheck, ConnectsByTcp) {
  int port = 0;
  {
    const OneShotServer server("");
    port = server.port();
    EXPECT_TRUE(check({{"tcpSocket", {{"port", port}}}}).success);
  }
  EXPECT_FALSE(check({{"tcpSocket", {{"port", port}}}}).success);
}

TEST(ProbeCheck, SaysWhatItCannotDo) {
  for (const Json& spec : {Json{{"smoke", {{"port", 1}}}}, Json{{"grpc", {{"port", 1}}}},
                           Json{{"httpGet", {{"port", 1}, {"scheme", "HTTPS"}}}}}) {
    const Answer answer = check(spec);
    EXPECT_FALSE(answer.success);
    EXPECT_NE(answer.output.find("one of exec, tcpSocket and httpGet over HTTP"), std::string::npos);
  }
}

}  // namespace
}  // namespace muster::local
