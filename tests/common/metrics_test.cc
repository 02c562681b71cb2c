// tests/common/metrics_test.cc: the metrics server answers whoever else is connected, and says when its port
// is taken
#include "common/platform/metrics.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <thread>

#include "common/platform/process_metrics.h"

namespace muster {
namespace {

using std::chrono::seconds;

TEST(MetricsServer, SaysThatThePortIsInUse) {
  auto registry = std::make_shared<prometheus::Registry>();
  auto first = MetricsServer::start(registry, {});
  ASSERT_TRUE(first) << first.error().message;
  auto second = MetricsServer::start(
      registry, {.ip = "127.0.0.1", .port = (*first)->port(), .healthy = {}, .ready = {}});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kAlreadyExists);
}

TEST(ProcessMetrics, SayWhatThisProcessCosts) {
  std::map<std::string, double> figures;
  for (const prometheus::MetricFamily& family : process_families()) {
    ASSERT_EQ(family.metric.size(), 1u) << family.name;
    figures[family.name] = family.metric[0].gauge.value + family.metric[0].counter.value;
  }
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_GT(figures["process_resident_memory_bytes"], 1 << 20);
  EXPECT_LT(figures["process_resident_memory_bytes"], 4e9);
  EXPECT_GT(figures["process_cpu_seconds_total"], 0);
  EXPECT_GE(figures["process_open_fds"], 3);
  EXPECT_NEAR(figures["process_start_time_seconds"], now, 300);
  const int one_more = open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (const prometheus::MetricFamily& family : process_families()) {
    if (family.name != "process_open_fds") continue;
    EXPECT_EQ(family.metric[0].gauge.value, figures["process_open_fds"] + 1);
  }
  close(one_more);
}

class Socket {
 public:
  // `buffer`: bytes that it takes without being read; 0: as many as usual.
  Socket(int family, int port, int buffer = 0) : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (buffer > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    const timeval patience{.tv_sec = 20, .tv_usec = 0};  // a test that fails, not one that hangs
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<std::uint16_t>(port));
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = v4.sin_port;
    v6.sin6_addr = in6addr_loopback;
    connected_ = family == AF_INET ? connect(fd_, reinterpret_cast<sockaddr*>(&v4), sizeof v4) == 0
                                   : connect(fd_, reinterpret_cast<sockaddr*>(&v6), sizeof v6) == 0;
  }
  ~Socket() { close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  bool say(std::string_view text) const {
    return send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  [[nodiscard]] std::string hear() const {  // to the end
    std::string all;
    char bytes[4096];
    for (ssize_t count = 0; (count = recv(fd_, bytes, sizeof bytes, 0)) > 0;)
      all.append(bytes, static_cast<std::size_t>(count));
    return all;
  }
  [[nodiscard]] bool closed() const {
    char byte = 0;
    const ssize_t count = recv(fd_, &byte, 1, MSG_DONTWAIT);
    return count == 0 || (count < 0 && errno != EAGAIN);
  }

 private:
  int fd_;
  bool connected_ = false;
};

std::string ask(int port, const std::string& path, int family = AF_INET) {
  const Socket socket(family, port);
  if (!socket.connected()) return "no connection";
  socket.say("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
  return socket.hear();
}

class MetricsServerTest : public ::testing::Test {
 protected:
  void serve(const std::string& ip = "127.0.0.1") {
    auto started = MetricsServer::start(std::make_shared<prometheus::Registry>(),
                                        {.ip = ip, .port = 0, .healthy = {}, .ready = {}});
    ASSERT_TRUE(started) << started.error().message;
    server_ = std::move(*started);
  }
  // Connections, each saying `text` and no more. They stay.
  void strangers(int count, const std::string& text) {
    for (int i = 0; i < count; ++i) {
      auto socket = std::make_unique<Socket>(AF_INET, server_->port());
      if (socket->connected() && !text.empty()) socket->say(text);
      strangers_.push_back(std::move(socket));
    }
  }
  // The longest of some answers of /healthz.
  [[nodiscard]] std::chrono::milliseconds slowest_answer() const {
    std::chrono::milliseconds slowest{0};
    for (int i = 0; i < 20; ++i) {
      const auto before = std::chrono::steady_clock::now();
      EXPECT_NE(ask(server_->port(), "/healthz").find("200 OK"), std::string::npos);
      slowest = std::max(slowest, std::chrono::duration_cast<std::chrono::milliseconds>(
                                      std::chrono::steady_clock::now() - before));
    }
    return slowest;
  }
  std::unique_ptr<MetricsServer> server_;
  std::vector<std::unique_ptr<Socket>> strangers_;
};

TEST(MetricsServer, ShowsWhatIsMadeAtTheScrape) {
  const auto made = [] {
    prometheus::ClientMetric series;
    series.label = {{"job_name", "ring"}};
    series.gauge.value = 2;
    return std::vector{prometheus::MetricFamily{"made", "now", prometheus::MetricType::Gauge, {series}}};
  };
  auto server = MetricsServer::start(std::make_shared<prometheus::Registry>(),
                                     {.healthy = {}, .ready = {}, .collect = made});
  ASSERT_TRUE(server) << server.error().message;
  const std::string page = ask((*server)->port(), "/metrics");
  EXPECT_NE(page.find("made{job_name=\"ring\"} 2"), std::string::npos) << page;
  EXPECT_NE(page.find("\nprocess_resident_memory_bytes "), std::string::npos) << page;
}

// A page of several megabytes, more than sockets hold.
std::vector<prometheus::MetricFamily> long_page() {
  prometheus::MetricFamily family{"long", std::string(8 << 20, 'x'), prometheus::MetricType::Gauge, {}};
  family.metric.emplace_back();
  return {family};
}

TEST(MetricsServer, WhoAsksAndDoesNotReadGivesWayBeforeWhoComesAfter) {
  auto server = MetricsServer::start(std::make_shared<prometheus::Registry>(),
                                     {.healthy = {}, .ready = {}, .collect = long_page});
  ASSERT_TRUE(server) << server.error().message;
  std::vector<std::unique_ptr<Socket>> strangers;
  const auto stranger = [&] {
    strangers.push_back(std::make_unique<Socket>(AF_INET, (*server)->port(), 1024));
    strangers.back()->say("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  };
  for (int i = 0; i < 64; ++i) stranger();
  const Socket honest(AF_INET, (*server)->port());
  for (int i = 0; i < 32; ++i) stranger();
  ASSERT_TRUE(strangers.back()->connected());
  honest.say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(honest.hear().find("200 OK"), std::string::npos);
}

TEST(MetricsServer, MakesNoMoreThanTwentyPagesInATenthOfASecond) {
  std::atomic<int> made = 0;
  auto server = MetricsServer::start(std::make_shared<prometheus::Registry>(),
                                     {.healthy = {}, .ready = {}, .collect = [&made] {
                                        ++made;
                                        return std::vector<prometheus::MetricFamily>{};
                                      }});
  ASSERT_TRUE(server) << server.error().message;
  const auto begun = std::chrono::steady_clock::now();
  constexpr int kAsked = 400;
  for (int i = 0; i < kAsked; ++i)
    ASSERT_NE(ask((*server)->port(), "/metrics").find("200 OK"), std::string::npos);
  const auto tenths = (std::chrono::steady_clock::now() - begun) / std::chrono::milliseconds(100);
  EXPECT_LE(made, 20 * (tenths + 1));
  EXPECT_GE(made, 20);
}

struct Crowd {
  const char* name;
  int count;
  const char* text;
};
class MetricsCrowd : public MetricsServerTest, public ::testing::WithParamInterface<Crowd> {};

TEST_P(MetricsCrowd, HealthIsAnsweredMeanwhile) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < 4096) GTEST_SKIP() << "at most " << limit.rlim_cur << " open files";
  serve();
  strangers(GetParam().count, GetParam().text);
  EXPECT_LT(slowest_answer(), seconds(1));
}
INSTANTIATE_TEST_SUITE_P(Kinds, MetricsCrowd,
                         ::testing::Values(Crowd{"Silent64", 64, ""}, Crowd{"Silent2000", 2000, ""},
                                           Crowd{"HalfARequest64", 64, "GET /healthz HTTP/1.1\r\n"},
                                           Crowd{"HalfARequest2000", 2000, "GET /healthz HTTP/1.1\r\n"},
                                           Crowd{"Garbage64", 64, "\x16\x03\x01\x02"},
                                           Crowd{"Garbage2000", 2000, "\x16\x03\x01\x02"},
                                           Crowd{"OtherMethod2000", 2000, "BREW /pot\r\n\r\n"}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_F(MetricsServerTest, WhoSendsByteByByteIsCutOffAndHoldsUpNobody) {
  serve();
  const Socket slow(AF_INET, server_->port());
  const auto before = std::chrono::steady_clock::now();
  while (!slow.closed() && std::chrono::steady_clock::now() < before + seconds(20)) {
    slow.say("x");
    EXPECT_LT(slowest_answer(), seconds(1));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(10));
}

TEST_F(MetricsServerTest, TheOldestStrangerGoesFirst) {
  serve();
  strangers(65, "");
  EXPECT_NE(ask(server_->port(), "/healthz").find("200 OK"),
            std::string::npos);  // all before it are accepted
  EXPECT_TRUE(strangers_[0]->closed());
  EXPECT_FALSE(strangers_[64]->closed());
}

TEST_F(MetricsServerTest, AHeadThatNeverEndsIsNotCollected) {
  serve();
  const Socket endless(AF_INET, server_->port());
  const std::string piece(4096, 'x');
  const int more_than_sockets_hold = 1 << 16;  // 256 MiB
  int sent = 0;
  while (sent < more_than_sockets_hold && endless.say(piece)) ++sent;
  EXPECT_LT(sent, more_than_sockets_hold);
  EXPECT_TRUE(endless.closed());
}

TEST_F(MetricsServerTest, TheWildcardOfIpv6TakesBothFamilies) {
  if (!Socket(AF_INET6, 9).connected() && errno == EADDRNOTAVAIL) GTEST_SKIP() << "no IPv6 on this machine";
  serve("::");
  EXPECT_NE(ask(server_->port(), "/healthz").find("200 OK"), std::string::npos);
  EXPECT_NE(ask(server_->port(), "/healthz", AF_INET6).find("200 OK"), std::string::npos);
}

}  // namespace
}  // namespace muster
